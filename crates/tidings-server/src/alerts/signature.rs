//! The signature of what is posted: whoever shares the secret can tell that it is ours, that it was
//! not changed, and when it was signed.

use std::fmt::Write as _;

use aws_lc_rs::hmac;

/// The header that it stands in.
pub(super) const SIGNATURE_HEADER: &str = "tidings-signature";

/// `t=<seconds since 1970>,v1=<hex>`: HMAC-SHA256 over the seconds, a dot and the body.
pub(super) fn signature(secret: &str, unix_secs: u64, body: &[u8]) -> String {
    let mut context =
        hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()));
    context.update(format!("{unix_secs}.").as_bytes());
    context.update(body);
    let mut header = format!("t={unix_secs},v1=");
    for byte in context.sign().as_ref() {
        write!(header, "{byte:02x}").expect("writing to a string does not fail");
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_others_compute() {
        // printf '1.{}' | openssl dgst -sha256 -hmac key
        let expected = "t=1,v1=1ba6b8171186efc613e8bcc0cbdab2748f24984d7c5a84faa2637afa0e40d224";
        assert_eq!(signature("key", 1, b"{}"), expected);
    }
}
