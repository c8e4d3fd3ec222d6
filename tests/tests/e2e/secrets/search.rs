//! Finds a secret in whatever form careless code might have written it.

/// A secret in every form in which careless code might write it.
pub(super) fn forms(secret: &str) -> Vec<Vec<u8>> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let list: Vec<String> = secret.bytes().map(|byte| byte.to_string()).collect();
    let mut forms =
        vec![secret.as_bytes().to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    forms.push(list.join(", ").into_bytes());
    // Base64 depends on where in a longer text the secret begins; the middle of each shift is the same in any text.
    for shift in 0..3 {
        let shifted = format!("{}{secret}", "x".repeat(shift));
        let encoded = base64(shifted.as_bytes());
        let middle = encoded.get(8..encoded.len().saturating_sub(8)).unwrap_or_default();
        forms.push(middle.as_bytes().to_vec());
    }
    forms
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_usize, |word, byte| word << 8 | usize::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(ALPHABET[word >> (18 - 6 * place) & 63]));
        }
    }
    text
}

#[test]
fn a_planted_secret_is_found_in_every_form_in_which_it_may_be_written() {
    let secret = "key-of-acme-0123456789abcdef";
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let list = format!("{:?}", secret.as_bytes());
    let encoded = [0, 1, 2]
        .map(|shift| base64(format!("{}{secret}, and more", "-".repeat(shift)).as_bytes()));
    for text in [secret, &hex, &list, &encoded[0], &encoded[1], &encoded[2]] {
        let place = format!("{}{text}{}", "x".repeat(1_001), "y".repeat(99));
        let found = forms(secret).iter().any(|form| Finder::new(form).is_in(place.as_bytes()));
        assert!(found, "not found: {text}");
    }
    let clean = "x".repeat(10_000);
    assert!(!forms(secret).iter().any(|form| Finder::new(form).is_in(clean.as_bytes())));
}

/// Searches by skipping (Horspool), for the database's files are large.
pub(super) struct Finder<'a> {
    needle: &'a [u8],
    skip: [usize; 256],
}

impl<'a> Finder<'a> {
    pub(super) fn new(needle: &'a [u8]) -> Self {
        let mut skip = [needle.len(); 256];
        for (place, byte) in needle.iter().enumerate().take(needle.len().saturating_sub(1)) {
            skip[usize::from(*byte)] = needle.len() - 1 - place;
        }
        Self { needle, skip }
    }

    pub(super) fn is_in(&self, hay: &[u8]) -> bool {
        let mut at = 0;
        while let Some(window) = hay.get(at..at + self.needle.len()) {
            if window == self.needle {
                return true;
            }
            at += window.last().map_or(1, |last| self.skip[usize::from(*last)]);
        }
        false
    }
}
