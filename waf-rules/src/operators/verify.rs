//! `@verifyCC`, `@verifyCPF`, `@verifySSN`, `@verifySVNR`, `@validateNid`: the pattern finds a number and its check
//! holds. `TX:0` is the number found.
//!
//! Each candidate starts after the start of the last one, so a number inside a longer run of digits
//! is found. A pattern without a bound (`\d+`) finds the whole rest of a run again at each of its
//! digits: such candidates have a budget, and a value that spends it counts as a match.

use super::{Captures, Prefilter};
use crate::regex::{Budget, Pattern};

#[derive(Debug)]
pub(super) struct Verify {
    pattern: Pattern,
    scheme: Scheme,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Payment cards: ISO/IEC 7812-1, the Luhn check.
    Cc,
    /// Brazilian taxpayers: two check digits modulo 11.
    Cpf,
    /// Chilean tax payers (RUT): the last place, a digit or `K`, checks the others modulo 11.
    Rut,
    /// US social security: numbers that were never issued are left out.
    Ssn,
    /// Austrian social insurance: the fourth digit checks the others modulo 11.
    Svnr,
}

impl Verify {
    pub(super) fn compile(scheme: Scheme, argument: &str) -> Result<Self, String> {
        let pattern = Pattern::new(argument)?;
        Ok(Self { pattern, scheme })
    }

    /// `@validateNid`: a country and a pattern, such as `cl \d+-[\dkK]`.
    pub(super) fn national(argument: &str) -> Result<Self, String> {
        let (country, pattern) = argument
            .trim()
            .split_once(char::is_whitespace)
            .ok_or("expected a country and a pattern")?;
        let scheme = match country.to_ascii_lowercase().as_str() {
            "cl" => Scheme::Rut,
            "us" => Scheme::Ssn,
            _ => return Err(format!("`{country}` is not served: expected cl or us")),
        };
        Self::compile(scheme, pattern.trim_start())
    }

    pub(super) fn matches(
        &self,
        value: &[u8],
        captures: Option<&mut Captures>,
        steps: &mut Budget,
    ) -> bool {
        let mut start = 0;
        let mut budget = value.len().saturating_mul(MAX_DIGITS);
        while let Some(found) = self.pattern.find_within(value, start, steps) {
            let number = value.get(found.range()).unwrap_or_default();
            let left = budget.checked_sub(number.len());
            budget = left.unwrap_or(0);
            if left.is_none() || steps.is_spent() || self.scheme.accepts(number) {
                if let Some(captures) = captures {
                    captures.set(0, number);
                }
                return true;
            }
            start = found.start() + 1;
        }
        false
    }

    pub(super) fn prefilter(&self) -> Option<Prefilter> {
        Prefilter::from(self.pattern.requirements()).useful()
    }
}

impl Scheme {
    fn accepts(self, text: &[u8]) -> bool {
        if self == Self::Rut {
            return rut(text);
        }
        let mut digits = [0; MAX_DIGITS];
        let mut count = 0;
        for byte in text.iter().filter(|byte| byte.is_ascii_digit()) {
            let Some(slot) = digits.get_mut(count) else {
                return false;
            };
            *slot = u32::from(byte - b'0');
            count += 1;
        }
        let digits = digits.get(..count).unwrap_or_default();
        match self {
            Self::Cc => luhn(digits),
            Self::Cpf => digits.try_into().is_ok_and(cpf),
            Self::Rut => false,
            Self::Ssn => digits.try_into().is_ok_and(ssn),
            Self::Svnr => digits.try_into().is_ok_and(svnr),
        }
    }
}

fn luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => *digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    !digits.is_empty() && sum.is_multiple_of(10)
}

fn cpf(digits: [u32; 11]) -> bool {
    let [body @ .., first, second] = digits;
    let check = |weights: std::ops::RangeInclusive<u32>, digits: &[u32]| match weighted(
        weights.rev(),
        digits,
    ) % 11
    {
        0 | 1 => 0,
        rest => 11 - rest,
    };
    let [through_first @ .., _] = digits;
    !is_placeholder(&digits)
        && check(2..=10, &body) == first
        && check(2..=11, &through_first) == second
}

fn ssn(digits: [u32; 9]) -> bool {
    let number = |digits: &[u32]| digits.iter().fold(0, |number, digit| number * 10 + digit);
    let [area @ .., _, _, _, _, _, _] = digits;
    let [_, _, _, group @ .., _, _, _, _] = digits;
    let [_, _, _, _, _, serial @ ..] = digits;
    let issued = (1..740).contains(&number(&area)) && number(&area) != 666;
    issued && number(&group) > 0 && number(&serial) > 0 && !is_placeholder(&digits)
}

fn rut(text: &[u8]) -> bool {
    let places = text
        .iter()
        .filter(|byte| byte.is_ascii_digit() || byte.eq_ignore_ascii_case(&b'k'));
    let places: Vec<u8> = places
        .map(u8::to_ascii_lowercase)
        .take(MAX_DIGITS)
        .collect();
    let Some((check, body)) = places.split_last().filter(|_| places.len() >= 8) else {
        return false;
    };
    let digits = body
        .iter()
        .rev()
        .map(|byte| u32::from(byte.wrapping_sub(b'0')));
    let sum: u32 = digits
        .zip((2..=7).cycle())
        .map(|(digit, factor)| digit * factor)
        .sum();
    let expected = match 11 - sum % 11 {
        11 => b'0',
        10 => b'k',
        digit => b'0' + u8::try_from(digit).unwrap_or(0),
    };
    !body.contains(&b'k') && *check == expected
}

fn svnr(digits: [u32; 10]) -> bool {
    let weights = [3, 7, 9, 0, 5, 8, 4, 2, 1, 6];
    let [_, _, _, check, ..] = digits;
    !is_placeholder(&digits) && weighted(weights.into_iter(), &digits) % 11 % 10 == check
}

fn weighted(weights: impl Iterator<Item = u32>, digits: &[u32]) -> u32 {
    weights
        .zip(digits)
        .map(|(weight, digit)| weight * digit)
        .sum()
}

/// One digit over and over, or counting up: what people type when asked for any number.
fn is_placeholder(digits: &[u32]) -> bool {
    let pairs = || digits.iter().zip(digits.iter().skip(1));
    pairs().all(|(a, b)| a == b) || pairs().all(|(a, b)| (a + 1) % 10 == *b)
}

/// Longer runs are no number of any scheme.
const MAX_DIGITS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(scheme: Scheme, pattern: &str, value: &str) -> bool {
        let verify = Verify::compile(scheme, pattern).expect("valid");
        verify.matches(value.as_bytes(), None, &mut Budget::default())
    }

    #[test]
    fn real_numbers_match_and_wrong_digits_do_not() {
        let card = r"\d{13,16}";
        assert!(matches(Scheme::Cc, card, "card 4111111111111111."));
        assert!(matches(Scheme::Cc, card, "order 99994111111111111111"));
        assert!(!matches(
            Scheme::Cc,
            r"\b\d{16}\b",
            "order 4111111111111112"
        ));
        let cpf = r"([0-9]{3}\.){2}[0-9]{3}-[0-9]{2}";
        assert!(matches(Scheme::Cpf, cpf, "id 010.817.514-60"));
        assert!(!matches(Scheme::Cpf, cpf, "id 010.817.514-61"));
        assert!(!matches(Scheme::Cpf, cpf, "111.111.111-11"));
        let ssn = r"\d{3}-?\d{2}-?\d{4}";
        assert!(matches(Scheme::Ssn, ssn, "574-57-8065"));
        assert!(!matches(Scheme::Ssn, ssn, "666-57-8065"));
        let svnr = "([0-9]{4} ?[0-9]{6})";
        assert!(matches(Scheme::Svnr, svnr, "1237 010180"));
        assert!(!matches(Scheme::Svnr, svnr, "1238 010180"));
    }

    #[test]
    fn a_run_of_digits_without_end_costs_no_square() {
        let long = "1".repeat(200_000);
        assert!(matches(Scheme::Ssn, r"\d+", &long));
        assert!(!matches(Scheme::Ssn, r"\d{9}", &long));
        assert!(!matches(Scheme::Ssn, r"\d+", &"1".repeat(100)));
    }

    #[test]
    fn the_number_found_is_captured() {
        let verify = Verify::compile(Scheme::Cc, r"\d{16}").expect("valid");
        let mut captures = Captures::default();
        let steps = &mut Budget::default();
        assert!(verify.matches(b"pan=4111111111111111&x", Some(&mut captures), steps));
        assert_eq!(captures.iter().next(), Some((0, &b"4111111111111111"[..])));
    }
}
