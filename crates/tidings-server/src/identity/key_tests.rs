//! Which keys are taken, which key a token is checked with, and when keys are read again.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use aws_lc_rs::rsa::KeySize;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::config::{HttpUrl, Tokens};

const NOW_SECS: u64 = 1_795_458_000;
const NOW_MS: u64 = NOW_SECS * 1000;
const ISSUER: &str = "https://login.example.com";
const SECRET: &str = "q0Yk3uCzP8vNfW5tJr2XhB7LgMs9aEoD6iTnK1wQxR4=";

/// A key of an issuer's.
struct IssuerKey {
    algorithm: Algorithm,
    pair: KeyPair,
}

impl IssuerKey {
    fn signing(&self) -> EncodingKey {
        let pem = self.pair.serialize_pem();
        match self.algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
            Algorithm::ES256 => EncodingKey::from_ec_pem(pem.as_bytes()).unwrap(),
            _ => EncodingKey::from_ed_pem(pem.as_bytes()).unwrap(),
        }
    }

    /// As it stands in a key set, with these members put in; `null` takes one out.
    fn jwk(&self, changes: Value) -> Value {
        let mut jwk = if self.algorithm == Algorithm::EdDSA {
            let x = URL_SAFE_NO_PAD.encode(rcgen::PublicKeyData::der_bytes(&self.pair));
            json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": x })
        } else {
            let jwk = Jwk::from_encoding_key(&self.signing(), self.algorithm).unwrap();
            serde_json::to_value(jwk).unwrap()
        };
        let Value::Object(changes) = changes else { panic!("changes are an object") };
        for (member, value) in changes {
            jwk[&member] = value;
        }
        jwk.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        jwk
    }

    fn token(&self, kid: Option<&str>) -> String {
        self.token_with(kid, &json!({}))
    }

    fn token_with(&self, kid: Option<&str>, changes: &Value) -> String {
        let mut claims = json!({
            "iss": ISSUER, "sub": "42", "aud": "tidings", "iat": NOW_SECS, "exp": NOW_SECS + 300,
            "jti": "7f3a",
        });
        claims.as_object_mut().unwrap().append(&mut changes.as_object().unwrap().clone());
        let mut header = Header::new(self.algorithm);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = kid.map(str::to_owned);
        jsonwebtoken::encode(&header, &claims, &self.signing()).unwrap()
    }
}

fn rsa(size: KeySize) -> IssuerKey {
    let pair = aws_lc_rs::rsa::KeyPair::generate(size).unwrap();
    let der = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair);
    let pair = KeyPair::try_from(der.unwrap().as_ref()).unwrap();
    IssuerKey { algorithm: Algorithm::RS256, pair }
}

fn curve(algorithm: Algorithm) -> IssuerKey {
    let pair = match algorithm {
        Algorithm::ES256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
        _ => KeyPair::generate_for(&rcgen::PKCS_ED25519),
    };
    IssuerKey { algorithm, pair: pair.unwrap() }
}

static RSA: LazyLock<IssuerKey> = LazyLock::new(|| rsa(KeySize::Rsa2048));
static P256: LazyLock<IssuerKey> = LazyLock::new(|| curve(Algorithm::ES256));
static ED25519: LazyLock<IssuerKey> = LazyLock::new(|| curve(Algorithm::EdDSA));

/// The settings of a node that reads this key set from a file.
fn with_file(keys: &[Value]) -> (tempfile::NamedTempFile, Tokens) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "{}", json!({ "keys": keys })).unwrap();
    let tokens = Tokens {
        issuer: Some(ISSUER.to_owned()),
        jwks_file: Some(file.path().to_str().unwrap().to_owned()),
        ..Tokens::default()
    };
    (file, tokens)
}

/// What a node that knows these keys says to a token.
async fn verdict(keys: &[Value], token: &str) -> Result<(), TokenError> {
    let (_file, tokens) = with_file(keys);
    let verifier = TokenVerifier::load(&tokens, None).unwrap();
    verifier.verify(token, NOW_MS).await.map(drop)
}

#[rstest]
#[case::rsa(&RSA)]
#[case::p256(&P256)]
#[case::ed25519(&ED25519)]
#[tokio::test]
async fn takes_what_a_key_has_signed(#[case] key: &LazyLock<IssuerKey>) {
    let set = [key.jwk(json!({ "kid": "a", "use": "sig" }))];
    assert_eq!(verdict(&set, &key.token(Some("a"))).await, Ok(()));
    assert_eq!(verdict(&set, &key.token(None)).await, Ok(()));
    assert_eq!(verdict(&set, &key.token(Some("b"))).await, Err(TokenError::UnknownKey));
    let elsewhere = key.token_with(Some("a"), &json!({ "iss": "https://elsewhere" }));
    assert_eq!(verdict(&set, &elsewhere).await, Err(TokenError::Issuer));
    let token = key.token(Some("a"));
    let (message, _) = token.rsplit_once('.').unwrap();
    let other = key.token_with(Some("a"), &json!({ "sub": "1" }));
    let forged = format!("{message}.{}", other.rsplit_once('.').unwrap().1);
    assert_eq!(verdict(&set, &forged).await, Err(TokenError::Signature));
}

#[rstest]
#[case::no_algorithm(json!({ "alg": null }), true)]
#[case::for_signatures(json!({ "use": "sig", "key_ops": ["verify"] }), true)]
#[case::for_encryption(json!({ "use": "enc" }), false)]
#[case::other_operations(json!({ "key_ops": ["encrypt"] }), false)]
#[case::operations_as_text(json!({ "key_ops": "verify" }), false)]
#[case::other_algorithm(json!({ "alg": "RS512" }), false)]
#[case::symmetric_algorithm(json!({ "alg": "HS256" }), false)]
#[case::no_algorithm_at_all(json!({ "alg": "none" }), false)]
#[case::algorithm_as_number(json!({ "alg": 1 }), false)]
#[case::private(json!({ "d": "AQAB" }), false)]
#[case::numeric_name(json!({ "kid": 1 }), false)]
#[case::long_name(json!({ "kid": "k".repeat(257) }), false)]
#[case::short_modulus(json!({ "n": "_".repeat(340) }), false)]
#[case::modulus_of_zeros(json!({ "n": "A".repeat(342) }), false)]
#[case::huge_modulus(json!({ "n": "_".repeat(1400) }), false)]
#[case::no_modulus(json!({ "n": null }), false)]
#[case::other_kind(json!({ "kty": "oct", "k": "AAAA" }), false)]
#[case::kind_in_another_case(json!({ "kty": "rsa" }), false)]
#[tokio::test]
async fn uses_a_key_of_a_set(#[case] changes: Value, #[case] usable: bool) {
    let with = RSA.jwk(json!({ "kid": "a" }));
    let mut set = with.clone();
    for (member, value) in changes.as_object().unwrap() {
        set[member] = value.clone();
    }
    set.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    // Beside another that is right, so that there is a key set in any case.
    let set = [set, P256.jwk(json!({ "kid": "b" }))];
    let taken = verdict(&set, &RSA.token(None)).await;
    assert_eq!(taken.is_ok(), usable, "{taken:?}");
}

#[rstest]
#[case::no_coordinate(&P256, json!({ "y": null }))]
#[case::short_coordinate(&P256, json!({ "x": "AAAA" }))]
#[case::other_curve(&P256, json!({ "crv": "P-384" }))]
#[case::other_curve_of_edwards(&ED25519, json!({ "crv": "X25519" }))]
#[case::short_edwards(&ED25519, json!({ "x": "AAAA" }))]
#[case::edwards_as_secret(&ED25519, json!({ "kty": "oct", "k": "AAAA" }))]
#[tokio::test]
async fn passes_over_a_key_that_is_none(#[case] key: &LazyLock<IssuerKey>, #[case] changes: Value) {
    let set = [key.jwk(changes), RSA.jwk(json!({}))];
    assert_eq!(verdict(&set, &key.token(None)).await, Err(TokenError::UnknownKey));
}

#[tokio::test]
async fn takes_the_newer_name_of_eddsa() {
    let set = [ED25519.jwk(json!({ "alg": "Ed25519" }))];
    assert_eq!(verdict(&set, &ED25519.token(None)).await, Ok(()));
}

#[tokio::test]
async fn never_takes_a_public_key_for_a_secret() {
    let jwk = RSA.jwk(json!({ "kid": "a" }));
    let pem = RSA.pair.public_key_pem();
    for secret in [pem.as_bytes(), pem.trim_end().as_bytes(), jwk["n"].as_str().unwrap().as_bytes()]
    {
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some("a".to_owned());
        let claims = json!({
            "iss": ISSUER, "sub": "42", "aud": "tidings", "iat": NOW_SECS, "exp": NOW_SECS + 300,
            "jti": "7f3a",
        });
        let key = EncodingKey::from_secret(secret);
        let token = jsonwebtoken::encode(&header, &claims, &key).unwrap();
        let refused = Err(TokenError::Algorithm(Algorithm::HS256));
        assert_eq!(verdict(std::slice::from_ref(&jwk), &token).await, refused);
        // Nor beside a secret, which is the only one that HS256 goes by.
        let (_file, mut tokens) = with_file(std::slice::from_ref(&jwk));
        tokens.secret = Some(crate::config::Secret::new(SECRET));
        let verifier = TokenVerifier::load(&tokens, None).unwrap();
        assert_eq!(verifier.verify(&token, NOW_MS).await, Err(TokenError::Signature));
    }
}

#[tokio::test]
async fn picks_a_key_by_its_name_and_algorithm() {
    let (one, two) = (curve(Algorithm::ES256), curve(Algorithm::ES256));
    let set = [
        one.jwk(json!({ "kid": "one" })),
        two.jwk(json!({ "kid": "two" })),
        RSA.jwk(json!({ "kid": "rsa" })),
    ];
    assert_eq!(verdict(&set, &one.token(Some("one"))).await, Ok(()));
    assert_eq!(verdict(&set, &two.token(Some("two"))).await, Ok(()));
    assert_eq!(verdict(&set, &one.token(Some("two"))).await, Err(TokenError::Signature));
    assert_eq!(verdict(&set, &one.token(None)).await, Err(TokenError::SeveralKeys));
    assert_eq!(verdict(&set, &RSA.token(None)).await, Ok(()));
    let other_kind = Err(TokenError::Algorithm(Algorithm::ES256));
    assert_eq!(verdict(&set, &one.token(Some("rsa"))).await, other_kind);
    for kid in ["ONE", "one ", "../one", "", "*"] {
        assert_eq!(verdict(&set, &one.token(Some(kid))).await, Err(TokenError::UnknownKey));
    }
    let twice = [one.jwk(json!({ "kid": "one" })), two.jwk(json!({ "kid": "one" }))];
    assert_eq!(verdict(&twice, &one.token(Some("one"))).await, Err(TokenError::SeveralKeys));
}

#[rstest]
#[case(&RSA)]
#[case(&P256)]
#[case(&ED25519)]
#[tokio::test]
async fn signs_with_a_private_key_what_its_public_key_takes(#[case] key: &LazyLock<IssuerKey>) {
    let (_file, tokens) = with_file(&[key.jwk(json!({ "kid": "a" }))]);
    let pem = key.pair.serialize_pem();
    let signing = TokenKey::from_private_pem(pem.as_bytes(), Some("a".into()), &tokens).unwrap();
    let request = TokenRequest {
        user: User::new("42").unwrap(),
        subscribe: Vec::new(),
        publish: Vec::new(),
        role: None,
        sid: None,
        meta: None,
        ttl_secs: 300,
        until_secs: None,
    };
    let token = signing.mint(&request, NOW_MS, 7).unwrap();
    let verifier = TokenVerifier::load(&tokens, None).unwrap();
    assert_eq!(verifier.verify(&token, NOW_MS).await.unwrap().user.id(), "42");
}

#[test]
fn says_what_is_wrong_with_a_file_of_keys() {
    let complaint = |text: &str| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "{text}").unwrap();
        let jwks_file = Some(file.path().to_str().unwrap().to_owned());
        let tokens = Tokens { jwks_file, ..Tokens::default() };
        TokenVerifier::load(&tokens, None).map(drop).unwrap_err().to_string()
    };
    for text in ["", "{}", "[]", "{\"keys\":{}}", "-----BEGIN PUBLIC KEY-----"] {
        assert!(complaint(text).contains("it is no JSON Web Key Set"), "{text}");
    }
    let symmetric = r#"{"keys":[{"kty":"oct","k":"canary"}]}"#;
    assert!(complaint(symmetric).contains("it has no public key"));
    assert!(!complaint(symmetric).contains("canary"));
    let tokens = Tokens { jwks_file: Some("/nowhere".to_owned()), ..Tokens::default() };
    let missing = TokenVerifier::load(&tokens, None).map(drop).unwrap_err().to_string();
    assert!(missing.contains("/nowhere") && missing.contains("cannot be read"), "{missing}");
}

/// An issuer that publishes its keys over HTTP, and counts who asks.
struct Issuer {
    keys: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
    address: SocketAddr,
}

impl Issuer {
    async fn start() -> Self {
        let (keys, asked) = (Arc::new(Mutex::new(String::new())), Arc::new(AtomicUsize::new(0)));
        let (answer, count) = (Arc::clone(&keys), Arc::clone(&asked));
        let handler = async move || {
            count.fetch_add(1, Ordering::SeqCst);
            // Long enough for others to come in between.
            tokio::task::yield_now().await;
            answer.lock().unwrap().clone()
        };
        let routes = axum::Router::new().route("/keys", axum::routing::get(handler));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, routes).into_future());
        Self { keys, asked, address }
    }

    fn publish(&self, keys: &[Value]) {
        *self.keys.lock().unwrap() = json!({ "keys": keys }).to_string();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn tokens(&self) -> Tokens {
        let url = HttpUrl::try_from(format!("http://{}/keys", self.address)).unwrap();
        Tokens { issuer: Some(ISSUER.to_owned()), jwks_url: Some(url), ..Tokens::default() }
    }
}

/// Moves the clock past the time in which unknown keys are not asked for again.
async fn past_the_cooldown() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(30)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn asks_an_issuer_once_for_all_who_wait_and_not_again_for_a_while() {
    let (old, new) = (curve(Algorithm::ES256), curve(Algorithm::ES256));
    let issuer = Issuer::start().await;
    issuer.publish(&[old.jwk(json!({ "kid": "old" }))]);
    let verifier = TokenVerifier::load(&issuer.tokens(), None).unwrap();
    let verify = async |token: &str| verifier.verify(token, NOW_MS).await.map(drop);
    assert_eq!(issuer.asked(), 0);

    // Nothing is known yet: the first token has the keys fetched, and others wait for that.
    let tokens: Vec<_> = (0..20).map(|_| old.token(Some("old"))).collect();
    let all = futures_util::future::join_all(tokens.iter().map(|token| verify(token))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(issuer.asked(), 1);

    issuer.publish(&[new.jwk(json!({ "kid": "new" }))]);
    assert_eq!(verify(&new.token(Some("new"))).await, Err(TokenError::UnknownKey));
    assert_eq!(verify(&new.token(Some("made up"))).await, Err(TokenError::UnknownKey));
    assert_eq!(issuer.asked(), 1);
    assert_eq!(verify(&old.token(Some("old"))).await, Ok(()));

    past_the_cooldown().await;
    // What needs no other key asks nobody.
    assert_eq!(verify(&old.token(Some("old"))).await, Ok(()));
    assert_eq!(verify(&RSA.token(Some("old"))).await, Err(TokenError::Algorithm(Algorithm::RS256)));
    assert_eq!(issuer.asked(), 1);
    assert_eq!(verify(&new.token(Some("new"))).await, Ok(()));
    assert_eq!(verify(&old.token(Some("old"))).await, Err(TokenError::UnknownKey));
    assert_eq!(issuer.asked(), 2);

    // A reload to the same address goes on with what is known.
    let reloaded = TokenVerifier::load(&issuer.tokens(), Some(&verifier)).unwrap();
    assert_eq!(reloaded.verify(&new.token(Some("new")), NOW_MS).await.map(drop), Ok(()));
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn goes_on_with_the_old_keys_while_the_issuer_is_not_itself() {
    let (old, new) = (curve(Algorithm::EdDSA), curve(Algorithm::EdDSA));
    let issuer = Issuer::start().await;
    issuer.publish(&[old.jwk(json!({ "kid": "old" }))]);
    let verifier = TokenVerifier::load(&issuer.tokens(), None).unwrap();
    verifier.refresh().await;
    for nonsense in ["", "<html>", "[]", "{\"keys\":1}"] {
        nonsense.clone_into(&mut issuer.keys.lock().unwrap());
        verifier.refresh().await;
        assert!(verifier.verify(&old.token(Some("old")), NOW_MS).await.is_ok());
    }
    // A key that cannot be seen may well be there.
    let unknown = verifier.verify(&new.token(Some("new")), NOW_MS).await;
    assert_eq!(unknown.map(drop), Err(TokenError::NoKeySet));
    issuer.publish(&[new.jwk(json!({ "kid": "new" }))]);
    verifier.refresh().await;
    assert!(verifier.verify(&new.token(Some("new")), NOW_MS).await.is_ok());
}

#[tokio::test]
async fn reads_a_file_again_for_a_key_that_is_not_in_it() {
    let (old, new) = (curve(Algorithm::ES256), curve(Algorithm::ES256));
    let (file, tokens) = with_file(&[old.jwk(json!({ "kid": "old" }))]);
    let verifier = TokenVerifier::load(&tokens, None).unwrap();
    assert!(verifier.verify(&old.token(Some("old")), NOW_MS).await.is_ok());
    let set = json!({ "keys": [new.jwk(json!({ "kid": "new" }))] });
    std::fs::write(file.path(), set.to_string()).unwrap();
    assert!(verifier.verify(&new.token(Some("new")), NOW_MS).await.is_ok());
}
