//! What every transformation must keep to, whatever its name.

use super::*;

/// Bytes from a fixed generator, weighted towards the ones decoders look at.
fn values() -> impl Iterator<Item = Vec<u8>> {
    const SPICE: &[u8] = b"\\%&#;xu0/*-<!.+\0 \t\n\"'^,(\xc0\xaf\xe2\x82\xa0abfFzZ19=";
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    (0..4000).map(move |round| {
        (0..round % 40)
            .map(|_| match next(8) {
                0 => u8::try_from(next(256)).unwrap_or_default(),
                _ => SPICE[next(SPICE.len())],
            })
            .collect()
    })
}

#[test]
fn names_are_unique_and_found_in_any_case() {
    for (at, (name, transformation)) in TABLE.iter().enumerate() {
        assert_eq!(
            Transformation::from_name(&name.to_uppercase()),
            Some(*transformation)
        );
        assert!(
            !TABLE[..at]
                .iter()
                .any(|(other, _)| other.eq_ignore_ascii_case(name))
        );
    }
    assert_eq!(
        Transformation::from_name("normalisePathWin"),
        Some(Transformation::NormalizePathWin)
    );
    assert_eq!(Transformation::NormalizePath.name(), "normalizePath");
    assert_eq!(Transformation::from_name("phpArgsNames"), None);
}

#[test]
fn apply_says_whether_the_output_differs() {
    let mut out = b"left over".to_vec();
    for transformation in Transformation::all() {
        for value in values() {
            let differs = transformation.apply(&value, &mut out);
            assert_eq!(differs, out != value, "{transformation:?}");
        }
    }
}

#[test]
fn a_value_without_trigger_bytes_comes_out_unchanged() {
    let mut out = Vec::new();
    for transformation in Transformation::all() {
        let triggers = transformation.triggers();
        for value in values() {
            let kept: Vec<u8> = value
                .into_iter()
                .filter(|byte| !triggers.contains(*byte))
                .collect();
            if transformation.leaves_alone(ByteSet::of(&kept)) {
                assert!(
                    !transformation.apply(&kept, &mut out),
                    "{transformation:?} {kept:?}"
                );
            }
        }
    }
    assert!(!Transformation::Length.leaves_alone(ByteSet::EMPTY));
    assert!(Transformation::Lowercase.leaves_alone(ByteSet::of(b"abc")));
}

#[test]
fn outputs_stay_within_a_small_multiple_of_the_input() {
    let mut out = Vec::new();
    for transformation in Transformation::all() {
        for value in values() {
            transformation.apply(&value, &mut out);
            assert!(out.len() <= value.len() * 4 + 20, "{transformation:?}");
        }
    }
}

#[test]
fn simple_steps_do_what_their_names_say() {
    let cases: &[(&str, &[u8], &[u8])] = &[
        ("lowercase", b"SeLeCT \xc4", b"select \xc4"),
        ("uppercase", b"id", b"ID"),
        ("length", b"12345678901", b"11"),
        ("length", b"", b"0"),
        ("removeNulls", b"a\0b", b"ab"),
        ("replaceNulls", b"a\0b", b"a b"),
        ("compressWhitespace", b"a \t\nb\xa0 ", b"a b\xa0 "),
        ("removeWhitespace", b"a \xc2\xa0\x0bb", b"ab"),
        ("trim", b" \ta b\r\n", b"a b"),
        ("trimLeft", b" a ", b"a "),
        ("trimRight", b" a ", b" a"),
        ("hexEncode", b"\x00\xff", b"00ff"),
        ("hexDecode", b"3c5", b"<"),
        ("sqlHexDecode", b"a=0x41427 0xg", b"a=AB7 0xg"),
        ("urlDecode", b"%3cb%zz+", b"<b%zz "),
        ("urlEncode", b"a b<", b"a+b%3c"),
        ("parityZero7bit", b"\xc1", b"A"),
        ("parityEven7bit", b"AC", b"A\xc3"),
        ("parityOdd7bit", b"AC", b"\xc1C"),
        (
            "md5",
            b"",
            b"\xd4\x1d\x8c\xd9\x8f\x00\xb2\x04\xe9\x80\x09\x98\xec\xf8\x42\x7e",
        ),
    ];
    let mut out = Vec::new();
    for (name, input, expected) in cases {
        let step = Transformation::from_name(name).expect("a known name");
        step.apply(input, &mut out);
        assert_eq!(out, *expected, "{name}");
    }
}
