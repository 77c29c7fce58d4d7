//! The search against the automaton it stands for.

use super::*;
use crate::fuzzing::{attacks, literals_agree};

fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn text(state: &mut u64, alphabet: &[u8], longest: u64) -> Vec<u8> {
    let len = next(state) % (longest + 1);
    let mut byte = || alphabet[(next(state) % alphabet.len() as u64) as usize];
    (0..len).map(|_| byte()).collect()
}

#[test]
fn every_search_finds_what_the_automaton_finds() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for alphabet in [
        &b"aB"[..],
        b"ab@`[{ \0",
        b"sElct/*-\xe1\xc1",
        b"Kk\x0b+Ii\t",
    ] {
        for _ in 0..600 {
            let count = 1 + next(&mut state) % 90;
            let literals: Vec<_> = (0..count)
                .map(|_| text(&mut state, alphabet, 9))
                .filter(|literal| literal.len() >= 2)
                .map(|literal| literal.to_ascii_lowercase())
                .collect();
            let literals: Vec<_> = literals.iter().map(Vec::as_slice).collect();
            for longest in [5, 40, 3000] {
                literals_agree(&literals, &text(&mut state, alphabet, longest));
            }
        }
    }
}

#[test]
fn a_literal_is_found_wherever_it_stands_and_its_neighbour_is_not() {
    let literals: [&[u8]; 5] = [b"ab", b"../", b"<scr", b"union select", b"\xc0\xaf"];
    for literal in literals {
        for (before, behind) in [(0, 0), (1, 0), (0, 1), (3, 3), (17, 2)] {
            let value = [&b"x".repeat(before), literal, &b"y".repeat(behind)].concat();
            literals_agree(&literals, &value);
            literals_agree(&literals, &value.to_ascii_uppercase());
            literals_agree(&literals, &value[..value.len() - 1]);
            literals_agree(&literals, &value[1..]);
        }
    }
    literals_agree(&literals, b"");
    literals_agree(&[], b"value");
}

#[test]
fn a_value_full_of_candidates_comes_to_the_same_end() {
    let literals: Vec<String> = (0..400).map(|number| format!("zqxj{number:03}")).collect();
    let literals: Vec<_> = literals.iter().map(String::as_bytes).collect();
    let value = "zqxj zqxj39 ".repeat(2000) + "ZQXJ399";
    literals_agree(&literals, value.as_bytes());
    let search = Literals::new(literals.iter().map(|one| (*one, vec![0])).collect());
    let search = search.expect("few literals");
    search.scan(value.as_bytes(), &mut [0]);
    assert!(search.automaton.get().is_some(), "the budget was spent");
}

#[test]
fn the_literals_are_found_in_every_seed() {
    let seeds = attacks();
    let words: Vec<_> = seeds
        .iter()
        .flat_map(|seed| seed.as_bytes().chunks(5).filter(|word| word.len() >= 2))
        .collect();
    for seed in &seeds {
        literals_agree(&words, seed.as_bytes());
    }
}
