//! Hostile credentials, one row each, against the real binary: each is refused with its own status,
//! code and challenge, on both subscriber endpoints alike, and no weaker credential is tried in its
//! place.

use std::io::Write;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::support::api::{Api, Stream};
use crate::support::session::{AUTHJS_SECRET, SESSION_SECRET, nextauth_session, signed_session};
use crate::support::{self, API_KEY, Server, TOKEN_SECRET, tidings, unix_ms};

const ISSUER: &str = "https://login.example.com";
/// The cookie of NextAuth 4.
const NEXTAUTH: &str = "next-auth.session-token";

/// An issuer's keys, each by its name in the key set.
struct Keys {
    rsa: EncodingKey,
    rsa_pem: String,
    p256: EncodingKey,
    ed25519: EncodingKey,
    stranger: EncodingKey,
    set: Value,
}

impl Keys {
    fn new() -> Self {
        use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
        let rsa = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let rsa = AsDer::<Pkcs8V1Der<'_>>::as_der(&rsa).unwrap();
        let rsa_pair = KeyPair::try_from(rsa.as_ref()).unwrap();
        let rsa = EncodingKey::from_rsa_pem(rsa_pair.serialize_pem().as_bytes()).unwrap();
        let curve = || KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let edwards = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let ec =
            |pair: &KeyPair| EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        let p256 = ec(&curve());
        let jwk = |key: &EncodingKey, algorithm, kid: &str| {
            let mut jwk = serde_json::to_value(Jwk::from_encoding_key(key, algorithm).unwrap());
            jwk.as_mut().unwrap()["kid"] = kid.into();
            jwk.unwrap()
        };
        let x = URL_SAFE_NO_PAD.encode(rcgen::PublicKeyData::der_bytes(&edwards));
        let mut for_encryption = jwk(&rsa, Algorithm::RS256, "enc");
        for_encryption["use"] = "enc".into();
        let set = json!({ "keys": [
            jwk(&rsa, Algorithm::RS256, "rsa"),
            jwk(&p256, Algorithm::ES256, "p256"),
            { "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "ed25519", "x": x },
            { "kty": "oct", "alg": "HS256", "kid": "oct", "k": URL_SAFE_NO_PAD.encode("guess") },
            for_encryption,
        ]});
        Self {
            rsa,
            rsa_pem: rsa_pair.public_key_pem(),
            p256,
            ed25519: EncodingKey::from_ed_pem(edwards.serialize_pem().as_bytes()).unwrap(),
            stranger: ec(&curve()),
            set,
        }
    }
}

/// A compact JWS of exactly these texts, signed by this.
fn jws(header: &str, claims: &str, sign: impl Fn(&[u8]) -> String) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = sign(message.as_bytes());
    format!("{message}.{signature}")
}

fn by_secret(secret: &[u8]) -> impl Fn(&[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    move |message| URL_SAFE_NO_PAD.encode(hmac::sign(&key, message))
}

fn by_key(key: &EncodingKey, algorithm: Algorithm) -> impl Fn(&[u8]) -> String {
    move |message| jsonwebtoken::crypto::sign(message, key, algorithm).unwrap()
}

/// The claims of a right token with these put in; `null` takes one out.
fn claims(changes: &Value) -> String {
    let now_secs = unix_ms() / 1000;
    let mut claims = json!({
        "iss": ISSUER, "sub": "42", "aud": "tidings", "iat": now_secs, "exp": now_secs + 300,
        "jti": "7f3a",
    });
    for (claim, value) in changes.as_object().unwrap() {
        claims[claim] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims.to_string()
}

const HEADER: &str = r#"{"alg":"HS256","typ":"tidings+jwt"}"#;

/// A token that is right but for these claims.
fn token(changes: &Value) -> String {
    jws(HEADER, &claims(changes), by_secret(TOKEN_SECRET.as_bytes()))
}

/// A token that is right but for this header.
fn headed(header: &str) -> String {
    jws(header, &claims(&json!({})), by_secret(TOKEN_SECRET.as_bytes()))
}

/// What a request comes with, and what it deserves.
struct Row {
    name: String,
    authorizations: Vec<String>,
    query: String,
    cookies: Vec<String>,
    expected: (u16, &'static str),
}

const UNAUTHENTICATED: (u16, &str) = (401, "unauthenticated");
const EXPIRED: (u16, &str) = (401, "token-expired");
const AMBIGUOUS: (u16, &str) = (400, "ambiguous-credentials");
const WELCOME: (u16, &str) = (200, "");

fn row(name: &str, expected: (u16, &'static str)) -> Row {
    Row {
        name: name.to_owned(),
        authorizations: Vec::new(),
        query: String::new(),
        cookies: Vec::new(),
        expected,
    }
}

/// A row with this in the `Authorization` header.
fn bearer(name: &str, credential: &str, expected: (u16, &'static str)) -> Row {
    row(name, expected).and_bearer(credential)
}

impl Row {
    fn and_bearer(self, credential: &str) -> Self {
        self.and_authorization(&format!("Bearer {credential}"))
    }

    fn and_authorization(mut self, value: &str) -> Self {
        self.authorizations.push(value.to_owned());
        self
    }

    fn and_query(mut self, name: &str, value: &str) -> Self {
        let pair =
            form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
        self.query = format!("{}&{pair}", self.query);
        self
    }

    fn and_cookie(mut self, name: &str, value: &str) -> Self {
        self.cookies.push(format!("{name}={value}"));
        self
    }

    /// Everything in it that is nobody else's business.
    fn credentials(&self) -> Vec<String> {
        let words = self.authorizations.iter().flat_map(|value| value.split([' ', '.']));
        let cookies = self.cookies.iter().flat_map(|cookie| cookie.split(['=', '.']));
        let queries = self.query.split(['=', '.', '&']);
        words.chain(cookies).chain(queries).filter(|p| p.len() > 30).map(str::to_owned).collect()
    }

    async fn check(&self, api: &Api) {
        for path in ["/api/polling", "/api/sse"] {
            let mut request = api.get_as_nobody(&format!("{path}?{}", self.query));
            if path == "/api/sse" {
                request = api.client.head(request.build().unwrap().url().clone());
            }
            for authorization in &self.authorizations {
                request = request.header("authorization", authorization);
            }
            if !self.cookies.is_empty() {
                request = request.header("cookie", self.cookies.join("; "));
            }
            let answer = request.send().await.unwrap();
            let (status, code) = self.expected;
            let name = format!("{} on {path}", self.name);
            assert_eq!(answer.status(), status, "{name}: {answer:?}");
            let challenge = answer.headers().get("www-authenticate").cloned();
            let is_empty = self.authorizations.is_empty()
                && self.cookies.is_empty()
                && !self.query.contains("token=");
            let expected = match status {
                401 if is_empty => Some("Bearer realm=\"tidings\""),
                401 => Some("Bearer realm=\"tidings\", error=\"invalid_token\""),
                _ => None,
            };
            assert_eq!(challenge.as_ref().map(|value| value.to_str().unwrap()), expected, "{name}");
            let headers = format!("{:?}", answer.headers());
            let body = answer.text().await.unwrap();
            if path == "/api/polling" && status != 200 {
                let problem: Value = serde_json::from_str(&body).unwrap();
                assert_eq!(problem["code"], code, "{name}: {body}");
            }
            for credential in self.credentials() {
                assert!(!body.contains(&credential) && !headers.contains(&credential), "{name}");
            }
        }
    }
}

/// Headers that would have an algorithm or a key be chosen by whoever writes them.
fn headers(keys: &Keys, rows: &mut Vec<Row>) {
    let nothing = |_: &[u8]| String::new();
    for algorithm in ["none", "None", "NONE", "nOnE", "", "null"] {
        let header = format!(r#"{{"alg":"{algorithm}","typ":"tidings+jwt"}}"#);
        let unsigned = jws(&header, &claims(&json!({})), nothing);
        rows.push(bearer(&format!("unsigned as {algorithm:?}"), &unsigned, UNAUTHENTICATED));
        let name = format!("signed, and says {algorithm:?}");
        rows.push(bearer(&name, &headed(&header), UNAUTHENTICATED));
    }
    let jwk = keys.set["keys"][0].clone();
    for (name, secret) in [
        ("PEM", keys.rsa_pem.as_bytes()),
        ("PEM without its last line end", keys.rsa_pem.trim_end().as_bytes()),
        ("modulus", jwk["n"].as_str().unwrap().as_bytes()),
        ("JSON", jwk.to_string().as_bytes()),
        ("symmetric key of the key set", b"guess"),
        ("nothing", b""),
    ] {
        for kid in ["", r#","kid":"rsa""#, r#","kid":"oct""#] {
            let header = format!(r#"{{"alg":"HS256","typ":"tidings+jwt"{kid}}}"#);
            let forged = jws(&header, &claims(&json!({})), by_secret(secret));
            let name = format!("HS256 with the public key's {name} as the secret {kid}");
            rows.push(bearer(&name, &forged, UNAUTHENTICATED));
        }
    }
    for (name, header) in [
        ("no algorithm", r#"{"typ":"tidings+jwt"}"#),
        ("algorithm in lower case", r#"{"alg":"hs256","typ":"tidings+jwt"}"#),
        ("algorithm twice", r#"{"alg":"none","alg":"HS256","typ":"tidings+jwt"}"#),
        ("algorithm as list", r#"{"alg":["HS256"],"typ":"tidings+jwt"}"#),
        ("algorithm as null", r#"{"alg":null,"typ":"tidings+jwt"}"#),
        ("other hash", r#"{"alg":"HS384","typ":"tidings+jwt"}"#),
        ("other padding", r#"{"alg":"PS256","typ":"tidings+jwt","kid":"rsa"}"#),
        ("other curve", r#"{"alg":"ES384","typ":"tidings+jwt","kid":"p256"}"#),
        (
            "an RSA key's name for a secret's signature",
            r#"{"alg":"RS256","typ":"tidings+jwt","kid":"rsa"}"#,
        ),
        (
            "a curve's name for a secret's signature",
            r#"{"alg":"ES256","typ":"tidings+jwt","kid":"p256"}"#,
        ),
        ("encryption", r#"{"alg":"dir","enc":"A256GCM","typ":"tidings+jwt"}"#),
        ("no type", r#"{"alg":"HS256"}"#),
        ("plain type", r#"{"alg":"HS256","typ":"JWT"}"#),
        ("an access token's type", r#"{"alg":"HS256","typ":"at+jwt"}"#),
        ("a type that begins right", r#"{"alg":"HS256","typ":"tidings+jwt2"}"#),
        ("extension", r#"{"alg":"HS256","typ":"tidings+jwt","crit":["exp"]}"#),
        ("no extensions", r#"{"alg":"HS256","typ":"tidings+jwt","crit":[]}"#),
        ("unencoded payload", r#"{"alg":"HS256","typ":"tidings+jwt","b64":false,"crit":["b64"]}"#),
        ("list", "[]"),
        ("null", "null"),
        ("not JSON", "{"),
        ("nothing", ""),
        ("NUL", "{\"alg\":\"HS256\",\"typ\":\"tidings+jwt\0\"}"),
    ] {
        rows.push(bearer(&format!("header: {name}"), &headed(header), UNAUTHENTICATED));
    }
}

/// Names of keys, and pointers to keys of one's own.
fn names_of_keys(keys: &Keys, rows: &mut Vec<Row>) {
    let own =
        serde_json::to_value(Jwk::from_encoding_key(&keys.stranger, Algorithm::ES256).unwrap());
    let own = own.unwrap();
    let signed = |extra: &Value| {
        let mut header = json!({ "alg": "ES256", "typ": "tidings+jwt" });
        header.as_object_mut().unwrap().append(&mut extra.as_object().unwrap().clone());
        let sign = by_key(&keys.stranger, Algorithm::ES256);
        jws(&header.to_string(), &claims(&json!({})), sign)
    };
    for extra in [
        json!({}),
        json!({ "kid": "p256" }),
        json!({ "kid": "P256" }),
        json!({ "kid": "stranger" }),
        json!({ "kid": "../../../../dev/null" }),
        json!({ "kid": "' OR 1=1 --" }),
        json!({ "kid": "p256\0" }),
        json!({ "kid": "" }),
        json!({ "kid": ["p256"] }),
        json!({ "kid": "k".repeat(4000) }),
        json!({ "kid": "http://127.0.0.1:9/keys" }),
        json!({ "jku": "http://127.0.0.1:9/keys", "kid": "own" }),
        json!({ "jku": format!("{ISSUER}/keys"), "kid": "p256" }),
        json!({ "x5u": "http://127.0.0.1:9/cert", "kid": "own" }),
        json!({ "x5c": ["MIIB"], "kid": "own" }),
        json!({ "jwk": own, "kid": "p256" }),
        json!({ "jwk": own }),
        json!({ "jwk": { "kty": "oct", "k": "AAAA" } }),
    ] {
        let name = format!("a stranger's key that says {extra}");
        rows.push(bearer(&name, &signed(&extra), UNAUTHENTICATED));
    }
    let mixed =
        |header: &str, key, algorithm| jws(header, &claims(&json!({})), by_key(key, algorithm));
    for (name, header, key, algorithm) in [
        (
            "the name of a key for encryption",
            r#"{"alg":"RS256","typ":"tidings+jwt","kid":"enc"}"#,
            &keys.rsa,
            Algorithm::RS256,
        ),
        (
            "another kind of key's name",
            r#"{"alg":"RS256","typ":"tidings+jwt","kid":"p256"}"#,
            &keys.rsa,
            Algorithm::RS256,
        ),
        (
            "another hash of the same key",
            r#"{"alg":"RS512","typ":"tidings+jwt","kid":"rsa"}"#,
            &keys.rsa,
            Algorithm::RS512,
        ),
        (
            "another padding of the same key",
            r#"{"alg":"PS256","typ":"tidings+jwt","kid":"rsa"}"#,
            &keys.rsa,
            Algorithm::PS256,
        ),
        (
            "a signature in place of another kind's",
            r#"{"alg":"EdDSA","typ":"tidings+jwt","kid":"ed25519"}"#,
            &keys.p256,
            Algorithm::ES256,
        ),
    ] {
        rows.push(bearer(name, &mixed(header, key, algorithm), UNAUTHENTICATED));
    }
    // RFC 8725, 2.1 and CVE-2022-21449: a signature of nothing but zeros.
    let header = r#"{"alg":"ES256","typ":"tidings+jwt","kid":"p256"}"#;
    let zeros = jws(header, &claims(&json!({})), |_| URL_SAFE_NO_PAD.encode([0; 64]));
    rows.push(bearer("a signature of zeros", &zeros, UNAUTHENTICATED));
}

fn claims_of_wrong_types_and_times(rows: &mut Vec<Row>) {
    let now = unix_ms() / 1000;
    for (changes, expected) in [
        (json!({ "sub": null }), UNAUTHENTICATED),
        (json!({ "sub": "" }), UNAUTHENTICATED),
        (json!({ "sub": 42 }), UNAUTHENTICATED),
        (json!({ "sub": ["42"] }), UNAUTHENTICATED),
        (json!({ "sub": { "id": "42" } }), UNAUTHENTICATED),
        (json!({ "sub": "a".repeat(65) }), UNAUTHENTICATED),
        (json!({ "sub": "/".repeat(22) }), UNAUTHENTICATED),
        (json!({ "aud": null }), UNAUTHENTICATED),
        (json!({ "aud": "shop" }), UNAUTHENTICATED),
        (json!({ "aud": [] }), UNAUTHENTICATED),
        (json!({ "aud": ["tidings", 1] }), UNAUTHENTICATED),
        (json!({ "aud": "tidings2" }), UNAUTHENTICATED),
        (json!({ "aud": "tidings " }), UNAUTHENTICATED),
        (json!({ "iss": null }), UNAUTHENTICATED),
        (json!({ "iss": format!("{ISSUER}/") }), UNAUTHENTICATED),
        (json!({ "iss": [ISSUER] }), UNAUTHENTICATED),
        (json!({ "iss": "https://LOGIN.example.com" }), UNAUTHENTICATED),
        (json!({ "exp": null }), UNAUTHENTICATED),
        (json!({ "exp": (now + 300).to_string() }), UNAUTHENTICATED),
        (json!({ "exp": true }), UNAUTHENTICATED),
        (json!({ "exp": [now + 300] }), UNAUTHENTICATED),
        (json!({ "exp": -1 }), UNAUTHENTICATED),
        (json!({ "exp": 1e300 }), UNAUTHENTICATED),
        (json!({ "exp": (now + 300) * 1000 }), UNAUTHENTICATED),
        (json!({ "exp": now + 90_000 }), UNAUTHENTICATED),
        (json!({ "exp": now - 1 }), EXPIRED),
        (json!({ "exp": 0 }), EXPIRED),
        (json!({ "until": now - 1 }), EXPIRED),
        (json!({ "until": "forever" }), UNAUTHENTICATED),
        (json!({ "iat": null }), UNAUTHENTICATED),
        (json!({ "iat": now + 120 }), UNAUTHENTICATED),
        (json!({ "iat": 0 }), UNAUTHENTICATED),
        (json!({ "iat": "now" }), UNAUTHENTICATED),
        (json!({ "nbf": now + 120 }), UNAUTHENTICATED),
        (json!({ "nbf": true }), UNAUTHENTICATED),
        (json!({ "jti": null }), UNAUTHENTICATED),
        (json!({ "jti": 7 }), UNAUTHENTICATED),
        (json!({ "jti": "j".repeat(129) }), UNAUTHENTICATED),
        (json!({ "sid": 7 }), UNAUTHENTICATED),
        (json!({ "sid": "a\nb" }), UNAUTHENTICATED),
        (json!({ "role": ["admin"] }), UNAUTHENTICATED),
        (json!({ "meta": "{}" }), UNAUTHENTICATED),
        (json!({ "meta": { "note": "x".repeat(1024) } }), UNAUTHENTICATED),
        (json!({ "subscribe": "**" }), UNAUTHENTICATED),
        (json!({ "subscribe": ["$hub"] }), UNAUTHENTICATED),
        (json!({ "subscribe": vec!["a"; 101] }), UNAUTHENTICATED),
        (json!({ "publish": [1] }), UNAUTHENTICATED),
    ] {
        let name = format!("claims: {changes}").chars().take(80).collect::<String>();
        rows.push(bearer(&name, &token(&changes), expected));
    }
}

fn shapes(rows: &mut Vec<Row>) {
    let good = token(&json!({}));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let parts: Vec<_> = good.split('.').collect();
    let other_body = URL_SAFE_NO_PAD.encode(claims(&json!({ "sub": "1" })));
    let standard = base64::engine::general_purpose::STANDARD;
    for (name, text) in [
        ("no signature", format!("{message}.")),
        ("no signature and no dot", message.to_owned()),
        ("half a signature", format!("{message}.{}", &signature[..20])),
        ("a longer signature", format!("{good}AA")),
        ("padding", format!("{good}=")),
        ("another alphabet", format!("{}.{}.{signature}", standard.encode(HEADER), parts[1])),
        ("a fourth part", format!("{good}.AAAA")),
        ("five parts", format!("{good}.AAAA.AAAA")),
        ("another body", format!("{}.{other_body}.{}", parts[0], parts[2])),
        ("its parts in another order", format!("{}.{}.{}", parts[1], parts[0], parts[2])),
        ("dots alone", "..".to_owned()),
        ("a list for a body", jws(HEADER, "[]", by_secret(TOKEN_SECRET.as_bytes()))),
        ("no body", jws(HEADER, "", by_secret(TOKEN_SECRET.as_bytes()))),
        ("a deep body", jws(HEADER, &"[".repeat(3000), by_secret(TOKEN_SECRET.as_bytes()))),
        ("JSON form", format!(r#"{{"payload":"{}"}}"#, parts[1])),
        ("too much of it", format!("{message}{}.{signature}", "A".repeat(8200))),
        ("quotes", format!("\"{good}\"")),
        ("its text turned", good.chars().rev().collect()),
    ] {
        rows.push(bearer(&format!("shape: {name}"), &text, UNAUTHENTICATED));
    }
    let key = format!("Bearer {API_KEY}");
    for (name, value) in [
        ("nothing", String::new()),
        ("no scheme", good.clone()),
        ("a scheme alone", "Bearer".to_owned()),
        ("basic", format!("Basic {good}")),
        ("two words", format!("Bearer {good} {good}")),
        ("two in one", format!("Bearer {good}, Bearer {good}")),
        ("a tab", format!("Bearer\t{good}")),
        ("no key", "Bearer tk_".to_owned()),
        ("half a key", key[..key.len() - 1].to_owned()),
        ("a key and more", format!("{key}x")),
        ("a key in another case", key.to_uppercase()),
        ("a key beside a key", format!("{key} {key}")),
    ] {
        let name = format!("authorization: {name}");
        rows.push(row(&name, UNAUTHENTICATED).and_authorization(&value));
    }
}

/// More than one credential: the strongest decides alone.
fn places(rows: &mut Vec<Row>) {
    let good = token(&json!({}));
    let expired = token(&json!({ "exp": unix_ms() / 1000 - 1 }));
    let session = nextauth_session(&json!({}));
    let (bad_key, key) = ("tk_unknownQ7wE2rT9yU4iO1pA6sD3fG8hJ", API_KEY);
    rows.extend([
        row("nothing at all", UNAUTHENTICATED),
        row("a userId alone", UNAUTHENTICATED).and_query("userId", "42"),
        row("header and query", AMBIGUOUS).and_bearer(&good).and_query("token", &good),
        row("header and an empty query", AMBIGUOUS).and_bearer(&good).and_query("token", ""),
        row("two headers", AMBIGUOUS).and_bearer(&good).and_bearer(&good),
        row("two keys", AMBIGUOUS).and_bearer(key).and_bearer(key),
        row("a key and a token in two headers", AMBIGUOUS).and_bearer(key).and_bearer(&good),
        row("two queries", AMBIGUOUS).and_query("token", &good).and_query("token", &good),
        row("two cookies", AMBIGUOUS)
            .and_cookie("tidings_token", &good)
            .and_cookie("tidings_token", &expired),
        row("a key in the query", UNAUTHENTICATED).and_query("token", key),
        row("a key in the cookie", UNAUTHENTICATED).and_cookie("tidings_token", key),
        row("an empty token in the query", UNAUTHENTICATED).and_query("token", ""),
        row("a bad key, a good query", UNAUTHENTICATED)
            .and_bearer(bad_key)
            .and_query("token", &good),
        row("a bad key, a good cookie", UNAUTHENTICATED)
            .and_bearer(bad_key)
            .and_cookie("tidings_token", &good),
        row("a bad key, a good session", UNAUTHENTICATED)
            .and_bearer(bad_key)
            .and_cookie(NEXTAUTH, &session),
        row("an expired token, a good cookie", EXPIRED)
            .and_bearer(&expired)
            .and_cookie("tidings_token", &good),
        row("an expired token, a good session", EXPIRED)
            .and_bearer(&expired)
            .and_cookie(NEXTAUTH, &session),
        row("a bad query, a good cookie", UNAUTHENTICATED)
            .and_query("token", "x")
            .and_cookie("tidings_token", &good),
        row("a bad query, a good session", UNAUTHENTICATED)
            .and_query("token", "x")
            .and_cookie(NEXTAUTH, &session),
        row("an expired cookie, a good session", EXPIRED)
            .and_cookie("tidings_token", &expired)
            .and_cookie(NEXTAUTH, &session),
        row("a bad scheme, a good session", UNAUTHENTICATED)
            .and_authorization("Basic eDp5")
            .and_cookie(NEXTAUTH, &session),
        row("a bad session, a userId", UNAUTHENTICATED)
            .and_cookie(NEXTAUTH, "x")
            .and_query("userId", "42"),
        row("two userIds", AMBIGUOUS).and_query("userId", "1").and_query("userId", "2"),
    ]);
}

fn sessions(rows: &mut Vec<Row>) {
    let now = unix_ms() / 1000;
    let good = nextauth_session(&json!({}));
    let parts: Vec<_> = good.split('.').collect();
    let (header, iv, text, tag) = (parts[0], parts[2], parts[3], parts[4]);
    let other = nextauth_session(&json!({ "sub": "1" }));
    let other: Vec<_> = other.split('.').collect();
    let with_header =
        |header: &str| format!("{}..{iv}.{text}.{tag}", URL_SAFE_NO_PAD.encode(header));
    for (name, value) in [
        ("nonsense", "x".to_owned()),
        ("four dots", "....".to_owned()),
        ("a token", token(&json!({}))),
        ("a signed session", signed_session(&json!({}))),
        ("no tag", format!("{header}..{iv}.{text}.")),
        ("a short tag", format!("{header}..{iv}.{text}.{}", &tag[..8])),
        ("another's tag", format!("{header}..{iv}.{text}.{}", other[4])),
        ("another's text", format!("{header}..{iv}.{}.{tag}", other[3])),
        ("another's iv", format!("{header}..{}.{text}.{tag}", other[2])),
        ("no iv", format!("{header}...{text}.{tag}")),
        ("an encrypted key", format!("{header}.AAAA.{iv}.{text}.{tag}")),
        ("a cut text", format!("{header}..{iv}.{}.{tag}", &text[..text.len() - 4])),
        ("a longer text", format!("{header}..{iv}.{text}AAAA.{tag}")),
        ("its last part missing", format!("{header}..{iv}.{text}")),
        ("another encryption", with_header(r#"{"alg":"dir","enc":"A256CBC-HS512"}"#)),
        ("no encryption", with_header(r#"{"alg":"dir","enc":"none"}"#)),
        ("compression", with_header(r#"{"alg":"dir","enc":"A256GCM","zip":"DEF"}"#)),
        (
            "a password",
            with_header(r#"{"alg":"PBES2-HS512+A256KW","p2c":999999999,"enc":"A256GCM"}"#),
        ),
        ("an oversized text", format!("{header}..{iv}.{}.{tag}", "A".repeat(12_000))),
        ("expired", nextauth_session(&json!({ "exp": now - 1 }))),
        ("no expiry", nextauth_session(&json!({ "exp": null }))),
        ("expiry as text", nextauth_session(&json!({ "exp": "tomorrow" }))),
        ("issued in the future", nextauth_session(&json!({ "iat": now + 120 }))),
        ("nobody", nextauth_session(&json!({ "sub": null }))),
        ("a number for a user", nextauth_session(&json!({ "sub": 42 }))),
        ("an empty user", nextauth_session(&json!({ "sub": "" }))),
        ("a long user", nextauth_session(&json!({ "sub": "a".repeat(65) }))),
    ] {
        let name = format!("session: {name}");
        rows.push(row(&name, UNAUTHENTICATED).and_cookie(NEXTAUTH, &value));
    }
    let (first, second) = good.split_at(good.len() / 2);
    let piece = |n: &str| format!("{NEXTAUTH}.{n}");
    rows.extend([
        row("session: its first piece alone", UNAUTHENTICATED).and_cookie(&piece("0"), first),
        row("session: its second piece alone", UNAUTHENTICATED).and_cookie(&piece("1"), second),
        row("session: a hole between pieces", UNAUTHENTICATED)
            .and_cookie(&piece("0"), first)
            .and_cookie(&piece("2"), second),
        row("session: pieces that were swapped", UNAUTHENTICATED)
            .and_cookie(&piece("0"), second)
            .and_cookie(&piece("1"), first),
        row("session: whole and in pieces", UNAUTHENTICATED)
            .and_cookie(NEXTAUTH, &good)
            .and_cookie(&piece("0"), first),
        row("session: a piece twice", AMBIGUOUS)
            .and_cookie(&piece("0"), first)
            .and_cookie(&piece("0"), second),
        row("session: whole, twice", AMBIGUOUS)
            .and_cookie(NEXTAUTH, &good)
            .and_cookie(NEXTAUTH, &good),
        row("session: the better name's is bad", UNAUTHENTICATED)
            .and_cookie("__Secure-next-auth.session-token", "x")
            .and_cookie(NEXTAUTH, &good),
    ]);
    let mut many = row("session: too many pieces", UNAUTHENTICATED);
    for n in 0..11 {
        many = many.and_cookie(&piece(&n.to_string()), "A");
    }
    rows.push(many);
}

/// What is right, so that the rest is refused for what is wrong with it.
fn welcome(keys: &Keys, rows: &mut Vec<Row>) {
    let good = token(&json!({}));
    let session = nextauth_session(&json!({}));
    let (first, second) = session.split_at(session.len() / 2);
    let by =
        |header: &str, key, algorithm| jws(header, &claims(&json!({})), by_key(key, algorithm));
    rows.extend([
        bearer("a key", API_KEY, WELCOME),
        bearer("a token", &good, WELCOME),
        bearer(
            "RS256",
            &by(r#"{"alg":"RS256","typ":"tidings+jwt","kid":"rsa"}"#, &keys.rsa, Algorithm::RS256),
            WELCOME,
        ),
        bearer(
            "ES256 with a pointer to elsewhere",
            &by(
                r#"{"alg":"ES256","typ":"tidings+jwt","kid":"p256","jku":"http://127.0.0.1:9/"}"#,
                &keys.p256,
                Algorithm::ES256,
            ),
            WELCOME,
        ),
        bearer(
            "EdDSA",
            &by(r#"{"alg":"EdDSA","typ":"tidings+jwt"}"#, &keys.ed25519, Algorithm::EdDSA),
            WELCOME,
        ),
        row("a query", WELCOME).and_query("token", &good),
        row("a cookie", WELCOME).and_cookie("tidings_token", &good),
        row("a session", WELCOME).and_cookie(NEXTAUTH, &session),
        row("a session in pieces", WELCOME)
            .and_cookie(&format!("{NEXTAUTH}.1"), second)
            .and_cookie(&format!("{NEXTAUTH}.0"), first),
        row("a token beside a bad session", WELCOME).and_bearer(&good).and_cookie(NEXTAUTH, "x"),
        row("a key beside all that is bad", WELCOME)
            .and_bearer(API_KEY)
            .and_query("token", "x")
            .and_cookie("tidings_token", "x")
            .and_cookie("tidings_token", "y")
            .and_cookie(NEXTAUTH, "x"),
    ]);
}

fn server(keys: &Keys) -> (Server, tempfile::NamedTempFile) {
    let mut key_set = tempfile::NamedTempFile::new().unwrap();
    write!(key_set, "{}", keys.set).unwrap();
    let server = Server::start(&[
        ("TOKENS__ISSUER", ISSUER),
        ("TOKENS__JWKS_FILE", key_set.path().to_str().unwrap()),
        ("AUTH__SESSION__AUTHJS__SECRETS", AUTHJS_SECRET),
    ]);
    (server, key_set)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_credential_is_refused_for_what_it_is() {
    let keys = Keys::new();
    let (server, _key_set) = server(&keys);
    let api = Api::new(&server.url());
    let mut hostile = Vec::new();
    headers(&keys, &mut hostile);
    names_of_keys(&keys, &mut hostile);
    claims_of_wrong_types_and_times(&mut hostile);
    shapes(&mut hostile);
    places(&mut hostile);
    sessions(&mut hostile);
    assert!(hostile.len() > 150, "{}", hostile.len());
    let mut right = Vec::new();
    welcome(&keys, &mut right);
    for row in hostile.iter().chain(&right) {
        row.check(&api).await;
    }
}

#[tokio::test]
async fn a_token_is_only_taken_by_the_algorithms_that_have_a_key() {
    let keys = Keys::new();
    let secret_alone = Server::start(&[("TOKENS__ISSUER", ISSUER)]);
    let mut key_set = tempfile::NamedTempFile::new().unwrap();
    write!(key_set, "{}", keys.set).unwrap();
    let mut command = tidings();
    command
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("TIDINGS_API_KEY", API_KEY)
        .env("TIDINGS_TOKENS__ISSUER", ISSUER)
        .env("TIDINGS_TOKENS__JWKS_FILE", key_set.path());
    let keys_alone = Server::spawn(command);
    let by_rsa = jws(
        r#"{"alg":"RS256","typ":"tidings+jwt"}"#,
        &claims(&json!({})),
        by_key(&keys.rsa, Algorithm::RS256),
    );
    let secret = token(&json!({}));
    let pem = jws(HEADER, &claims(&json!({})), by_secret(keys.rsa_pem.as_bytes()));
    for (server, credential, expected) in [
        (&secret_alone, &secret, WELCOME),
        (&secret_alone, &by_rsa, UNAUTHENTICATED),
        (&secret_alone, &pem, UNAUTHENTICATED),
        (&keys_alone, &by_rsa, WELCOME),
        (&keys_alone, &secret, UNAUTHENTICATED),
        (&keys_alone, &pem, UNAUTHENTICATED),
    ] {
        bearer("by another algorithm", credential, expected).check(&Api::new(&server.url())).await;
    }
    // And makes none that it could not sign.
    let api = Api::new(&keys_alone.url());
    let request = api.client.post(format!("{}/api/sse/token", keys_alone.url()));
    let request = request.bearer_auth(API_KEY).header("content-type", "application/json");
    let answer = request.body(r#"{"userId":"42"}"#).send().await.unwrap();
    assert_eq!(answer.status(), 501);
    assert_eq!(support::api::json(answer).await["code"], "no-token-secret");
}

#[tokio::test]
async fn a_users_id_stays_one_segment_whoever_says_it() {
    let server = Server::start(&[
        ("AUTH__SESSION__JWT__COOKIE", "session"),
        ("AUTH__SESSION__JWT__SECRET", SESSION_SECRET),
        ("AUTH__LEGACY_USER_ID", "insecure"),
    ]);
    let api = Api::new(&server.url());
    for (id, segment) in [
        ("42", "42"),
        ("a/b", "a%2Fb"),
        ("*", "%2A"),
        ("**", "%2A%2A"),
        ("../broadcast", "..%2Fbroadcast"),
        ("..", ".."),
        ("%2F", "%252F"),
        ("$hub", "%24hub"),
        ("a,broadcast", "a%2Cbroadcast"),
        ("{user}", "%7Buser%7D"),
        ("Zo\u{eb}", "Zo%C3%AB"),
        ("\u{202e}x", "%E2%80%AEx"),
        ("a b\n", "a%20b%0A"),
    ] {
        let own = format!("user/{segment}");
        let encode =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let by_token =
            api.get_as_nobody("/api/sse").bearer_auth(support::tokens::token(id, &[], &[]));
        let session = signed_session(&json!({ "sub": id }));
        let by_session =
            api.get_as_nobody("/api/sse").header("cookie", format!("session={session}"));
        let by_claim = api.get_as_nobody(&format!("/api/sse?userId={}", encode(id)));
        for (method, request) in
            [("token", by_token), ("session", by_session), ("user-id", by_claim)]
        {
            let mut stream = Stream::open(request.try_clone().unwrap()).await;
            let connected = stream.next().await.unwrap().json();
            assert_eq!(connected["method"], method);
            assert_eq!(connected["user"], id);
            assert_eq!(connected["topics"], json!([own, "broadcast"]), "{id} by {method}");
            api.publish(json!({ "user": id, "data": 1 }).to_string()).await;
            assert_eq!(stream.next_event().await.field("topic"), Some(own.as_str()));
        }
    }
}
