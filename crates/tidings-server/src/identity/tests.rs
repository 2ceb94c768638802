//! Which credentials are taken, which are refused, and for which reason.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rstest::rstest;
use serde_json::{Map, Value, json};
use tidings_hub::{Pattern, Topic};

use super::*;
use crate::config::{Config, Key, LegacyUserId, Scope, Secret, Tokens};

const SECRET: &str = "q0Yk3uCzP8vNfW5tJr2XhB7LgMs9aEoD6iTnK1wQxR4=";
const API_KEY: &str = "tk_9f1c4be07a3d5528e6b0c4d1a7f3982b64e05dce";
const PUBLISH_KEY: &str = "tk_2b64e05dce9f1c4be07a3d5528e6b0c4d1a7f398";
const ADMIN_KEY: &str = "tk_e6b0c4d1a7f3982b64e05dce9f1c4be07a3d5528";
const NOW_SECS: u64 = 1_795_458_000;
const NOW_MS: u64 = NOW_SECS * 1000;

fn config() -> Config {
    let key = |name: &str, secret, scopes: &[Scope]| Key {
        name: name.to_owned(),
        secret: Secret::new(secret),
        scopes: scopes.to_vec(),
    };
    Config {
        api_key: Some(Secret::new(API_KEY)),
        tokens: Tokens { secret: Some(Secret::new(SECRET)), ..Tokens::default() },
        keys: vec![
            key("orders", PUBLISH_KEY, &[Scope::Publish]),
            key("ops", ADMIN_KEY, &[Scope::Admin]),
        ],
        ..Config::default()
    }
}

/// A compact JWS of exactly these texts, signed with HMAC-SHA-256 whatever the header says.
fn signed(header: &str, claims: &str, secret: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
    format!("{message}.{signature}")
}

const HEADER: &str = r#"{"alg":"HS256","typ":"tidings+jwt"}"#;

/// The claims of a right token with these put in; a claim that is put in as `null` is left out.
fn claims_with(changes: Value) -> Value {
    let mut claims = json!({
        "sub": "42", "aud": "tidings", "iat": NOW_SECS, "exp": NOW_SECS + 300, "jti": "7f3a",
    });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    for (claim, value) in changes {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(&claim)),
            value => claims[claim] = value,
        }
    }
    claims
}

fn token_with(changes: Value) -> String {
    signed(HEADER, &claims_with(changes).to_string(), SECRET)
}

/// The verdict of a node with this configuration.
fn authenticate(config: &Config, credentials: &Credentials<'_>) -> Result<Principal, AuthError> {
    let authenticator = Authenticator::load(config, None).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(authenticator.authenticate(credentials, NOW_MS))
}

fn by_header(authorization: &str) -> Result<Principal, AuthError> {
    let authorization = Some(authorization.as_bytes());
    let credentials = Credentials { authorization, ..Credentials::default() };
    authenticate(&config(), &credentials)
}

fn by_token(token: &str) -> Result<Principal, AuthError> {
    by_header(&format!("Bearer {token}"))
}

fn refusal(token: &str) -> String {
    match by_token(token) {
        Err(AuthError::Token(error)) => error.to_string(),
        other => panic!("the token must be refused for what it is, not {other:?}"),
    }
}

#[rstest]
#[case::as_minted(json!({}))]
#[case::one_of_several_audiences(json!({"aud": ["shop", "tidings"]}))]
#[case::fraction_of_a_second(json!({"exp": 1_795_458_000.5}))]
#[case::clock_ahead(json!({"iat": NOW_SECS + 60, "nbf": NOW_SECS + 60}))]
#[case::any_issuer_unless_configured(json!({"iss": "https://elsewhere"}))]
#[case::unknown_claims(json!({"name": "Ada", "admin": true}))]
#[case::empty_lists(json!({"subscribe": [], "publish": []}))]
#[case::a_hundred_patterns(json!({"subscribe": vec!["a/*"; 100]}))]
#[case::longest_life(json!({"exp": NOW_SECS + 86_400}))]
#[case::longest_user(json!({"sub": "a".repeat(64)}))]
fn takes_a_token(#[case] changes: Value) {
    assert!(by_token(&token_with(changes)).is_ok());
}

#[rstest]
#[case(r#"{"alg":"HS256","typ":"TIDINGS+JWT"}"#)]
#[case(r#"{"alg":"HS256","typ":"application/tidings+jwt"}"#)]
#[case(r#"{"typ":"tidings+jwt","alg":"HS256","kid":"../../etc/passwd","jku":"http://127.0.0.1/"}"#)]
fn takes_a_header(#[case] header: &str) {
    assert!(by_token(&signed(header, &claims_with(json!({})).to_string(), SECRET)).is_ok());
}

// What a genuine token says, wrongly. `null` leaves a claim out.
#[rstest]
#[case::no_user(json!({"sub": null}), "has no 'sub'")]
#[case::empty_user(json!({"sub": ""}), "'sub' will not do")]
#[case::numeric_user(json!({"sub": 42}), "'sub' must be a string")]
#[case::list_of_users(json!({"sub": ["42"]}), "'sub' must be a string")]
#[case::long_user(json!({"sub": "a".repeat(65)}), "'sub' will not do")]
#[case::user_long_when_encoded(json!({"sub": "é".repeat(11)}), "'sub' will not do")]
#[case::no_audience(json!({"aud": null}), "has no 'aud'")]
#[case::other_audience(json!({"aud": "shop"}), "'aud' does not name")]
#[case::audience_in_other_case(json!({"aud": "Tidings"}), "'aud' does not name")]
#[case::no_one_in_the_audience(json!({"aud": []}), "'aud' does not name")]
#[case::audience_of_numbers(json!({"aud": ["tidings", 1]}), "'aud' must be")]
#[case::audience_as_object(json!({"aud": {"tidings": true}}), "'aud' must be")]
#[case::audience_true(json!({"aud": true}), "'aud' must be")]
#[case::no_expiry(json!({"exp": null}), "has no 'exp'")]
#[case::expiry_as_text(json!({"exp": "1795458300"}), "'exp' must be a number")]
#[case::expiry_as_list(json!({"exp": [1_795_458_300]}), "'exp' must be a number")]
#[case::expiry_true(json!({"exp": true}), "'exp' must be a number")]
#[case::negative_expiry(json!({"exp": -1}), "'exp' must be a number")]
#[case::expiry_in_milliseconds(json!({"exp": NOW_MS + 300_000}), "'exp' must be a number")]
#[case::huge_expiry(json!({"exp": 1e300}), "'exp' must be a number")]
#[case::largest_expiry(json!({"exp": u64::MAX}), "'exp' must be a number")]
#[case::expired_now(json!({"exp": NOW_SECS}), "has expired")]
#[case::expired_long_ago(json!({"exp": 0}), "has expired")]
#[case::not_issued(json!({"iat": null}), "has no 'iat'")]
#[case::issued_as_text(json!({"iat": "now"}), "'iat' must be a number")]
#[case::issued_in_future(json!({"iat": NOW_SECS + 61}), "issued in the future")]
#[case::issued_in_milliseconds(json!({"iat": NOW_MS}), "'iat' must be a number")]
#[case::not_yet(json!({"nbf": NOW_SECS + 61}), "not valid yet")]
#[case::not_before_as_text(json!({"nbf": "tomorrow"}), "'nbf' must be a number")]
#[case::stream_over(json!({"until": NOW_SECS}), "has expired")]
#[case::until_as_text(json!({"until": "forever"}), "'until' must be a number")]
#[case::a_second_too_long_lived(json!({"exp": NOW_SECS + 86_401}), "longer from 'iat' to 'exp' than tokens.ttl_max_secs, 86400")]
#[case::issued_long_ago(json!({"iat": 0}), "longer from 'iat' to 'exp'")]
#[case::no_id(json!({"jti": null}), "has no 'jti'")]
#[case::empty_id(json!({"jti": ""}), "'jti' must be 1 to 128")]
#[case::numeric_id(json!({"jti": 7}), "'jti' must be a string")]
#[case::long_id(json!({"jti": "7".repeat(129)}), "'jti' must be 1 to 128")]
#[case::id_with_line_break(json!({"jti": "7\n8"}), "'jti' must be 1 to 128")]
#[case::numeric_session(json!({"sid": 7}), "'sid' must be a string")]
#[case::role_as_list(json!({"role": ["admin"]}), "'role' must be a string")]
#[case::role_true(json!({"role": true}), "'role' must be a string")]
#[case::meta_as_text(json!({"meta": "{}"}), "'meta' must be an object")]
#[case::meta_as_list(json!({"meta": []}), "'meta' must be an object")]
#[case::long_meta(json!({"meta": {"note": "x".repeat(1024)}}), "'meta' must be an object of at most 1 KiB")]
#[case::subscribe_as_text(json!({"subscribe": "**"}), "'subscribe' must be a list")]
#[case::subscribe_true(json!({"subscribe": true}), "'subscribe' must be a list")]
#[case::subscribe_to_numbers(json!({"subscribe": [1]}), "'subscribe' must be a list")]
#[case::subscribe_to_too_much(json!({"subscribe": vec!["a"; 101]}), "'subscribe' must be a list of at most 100")]
#[case::subscribe_to_the_hubs_own(json!({"subscribe": ["a", "$hub"]}), "entry 1 of the token's 'subscribe'")]
#[case::subscribe_to_part_of_a_segment(json!({"subscribe": ["user/4*"]}), "entry 0 of the token's 'subscribe'")]
#[case::subscribe_to_nothing(json!({"subscribe": [""]}), "entry 0 of the token's 'subscribe'")]
#[case::subscribe_with_comma(json!({"subscribe": ["a,b"]}), "entry 0 of the token's 'subscribe'")]
#[case::publish_with_line_break(json!({"publish": ["a\nid: 1"]}), "entry 0 of the token's 'publish'")]
#[case::publish_past_the_rest(json!({"publish": ["**/a"]}), "entry 0 of the token's 'publish'")]
#[case::publish_as_object(json!({"publish": {"0": "**"}}), "'publish' must be a list")]
fn refuses_claims(#[case] changes: Value, #[case] expected: &str) {
    let refusal = refusal(&token_with(changes));
    assert!(refusal.contains(expected), "{refusal}");
}

#[rstest]
#[case::unsigned(r#"{"alg":"none","typ":"tidings+jwt"}"#, "header is not one of a signed JWT")]
#[case::unsigned_in_another_case(r#"{"alg":"nOnE","typ":"tidings+jwt"}"#, "header is not")]
#[case::no_algorithm(r#"{"typ":"tidings+jwt"}"#, "header is not")]
#[case::algorithm_in_lower_case(r#"{"alg":"hs256","typ":"tidings+jwt"}"#, "header is not")]
#[case::algorithm_twice(r#"{"alg":"none","alg":"HS256","typ":"tidings+jwt"}"#, "header is not")]
#[case::algorithm_as_list(r#"{"alg":["HS256"],"typ":"tidings+jwt"}"#, "header is not")]
#[case::other_hash(r#"{"alg":"HS512","typ":"tidings+jwt"}"#, "has no such key")]
#[case::public_key(r#"{"alg":"RS256","typ":"tidings+jwt"}"#, "has no such key")]
#[case::curve(r#"{"alg":"ES256","typ":"tidings+jwt"}"#, "has no such key")]
#[case::edwards(r#"{"alg":"EdDSA","typ":"tidings+jwt"}"#, "has no such key")]
#[case::no_type(r#"{"alg":"HS256"}"#, "'typ' tidings+jwt")]
#[case::plain_type(r#"{"alg":"HS256","typ":"JWT"}"#, "'typ' tidings+jwt")]
#[case::other_type(r#"{"alg":"HS256","typ":"at+jwt"}"#, "'typ' tidings+jwt")]
#[case::numeric_type(r#"{"alg":"HS256","typ":1}"#, "header is not")]
#[case::extension(r#"{"alg":"HS256","typ":"tidings+jwt","crit":["b64"],"b64":false}"#, "'crit'")]
#[case::empty_extensions(r#"{"alg":"HS256","typ":"tidings+jwt","crit":[]}"#, "'crit'")]
#[case::list("[]", "header is not")]
#[case::not_json("{", "header is not")]
#[case::empty("", "header is not")]
fn refuses_a_header(#[case] header: &str, #[case] expected: &str) {
    let refusal = refusal(&signed(header, &claims_with(json!({})).to_string(), SECRET));
    assert!(refusal.contains(expected), "{refusal}");
}

#[rstest]
#[case::list("[]")]
#[case::text("\"42\"")]
#[case::not_json("{\"sub\":")]
#[case::empty("")]
#[case::deep(&format!("{{\"meta\":{}{}}}", "[".repeat(2000), "]".repeat(2000)))]
fn refuses_a_body(#[case] body: &str) {
    let refusal = refusal(&signed(HEADER, body, SECRET));
    assert!(refusal.contains("is not a JWT"), "{refusal}");
}

#[test]
fn goes_by_the_last_of_a_repeated_claim() {
    let twice = |first: u64, last: u64| {
        let claims = format!(
            r#"{{"sub":"42","aud":"tidings","iat":{NOW_SECS},"jti":"1","exp":{first},"exp":{last}}}"#
        );
        by_token(&signed(HEADER, &claims, SECRET)).map(drop)
    };
    assert_eq!(twice(1, NOW_SECS + 1), Ok(()));
    assert_eq!(twice(NOW_SECS + 1, 1), Err(AuthError::Token(TokenError::Expired)));
}

#[rstest]
#[case::other_secret(signed(HEADER, &claims_with(json!({})).to_string(), "another"))]
#[case::empty_secret(signed(HEADER, &claims_with(json!({})).to_string(), ""))]
#[case::no_signature(token_with(json!({})).rsplit_once('.').unwrap().0.to_owned() + ".")]
#[case::short_signature(token_with(json!({})).get(..150).unwrap().to_owned())]
#[case::other_body({
    let token = token_with(json!({}));
    let parts: Vec<_> = token.split('.').collect();
    let body = URL_SAFE_NO_PAD.encode(claims_with(json!({"sub": "1"})).to_string());
    format!("{}.{body}.{}", parts[0], parts[2])
})]
fn refuses_what_is_not_signed_by_the_secret(#[case] token: String) {
    let refusal = refusal(&token);
    assert!(refusal.contains("signature") || refusal.contains("is not a JWT"), "{refusal}");
    let whole = token_with(json!({}));
    assert!(by_token(&whole).is_ok() && token != whole);
}

#[rstest]
#[case("a", "is not a JWT")]
#[case("a.b", "is not a JWT")]
#[case("a.b.c", "header is not")]
#[case("..", "header is not")]
#[case("a.b.c.d", "is not a JWT")]
#[case("a.b.c.d.e", "is not a JWT")]
#[case(&"a".repeat(8193), "longer than 8192 bytes")]
#[case(&format!("{}=.{}", "e30", "e30.e30"), "header is not")]
fn refuses_what_is_no_token(#[case] token: &str, #[case] expected: &str) {
    let refusal = refusal(token);
    assert!(refusal.contains(expected), "{refusal}");
}

#[rstest]
#[case::as_configured(json!({"iss": "https://app"}), true)]
#[case::missing(json!({}), false)]
#[case::other(json!({"iss": "https://app/"}), false)]
#[case::list(json!({"iss": ["https://app"]}), false)]
fn trusts_one_issuer_when_configured(#[case] changes: Value, #[case] taken: bool) {
    let mut config = config();
    config.tokens.issuer = Some("https://app".to_owned());
    let key = TokenKey::new(&config.tokens).unwrap();
    let verdict = key.verify(&token_with(changes), NOW_MS);
    assert_eq!(verdict.map(drop), if taken { Ok(()) } else { Err(TokenError::Issuer) });
}

#[rstest]
#[case::nothing("")]
#[case::no_scheme(API_KEY)]
#[case::no_credential("Bearer")]
#[case::empty_credential("Bearer ")]
#[case::basic("Basic dGs6c2VjcmV0")]
#[case::digest("Digest username=x")]
#[case::joined("BearerX tk_9f1c4be07a3d5528e6b0c4d1a7f3982b64e05dce")]
#[case::two_words("Bearer tk_9f1c4be07a3d5528e6b0c4d1a7f3982b64e05dce x")]
#[case::folded("Bearer tk_9f1c4be07a3d5528e6b0c4d1a7f3982b64e05dce, Bearer x")]
#[case::tab("Bearer\ttk_9f1c4be07a3d5528e6b0c4d1a7f3982b64e05dce")]
#[case::leading_space(" Bearer tk_9f1c4be07a3d5528e6b0c4d1a7f3982b64e05dce")]
#[case::not_ascii("Bearer tk_ü")]
#[case::control("Bearer tk_\u{1}")]
fn refuses_an_authorization_header(#[case] authorization: &str) {
    assert_eq!(by_header(authorization), Err(AuthError::NotBearer));
}

#[rstest]
#[case::short("Bearer tk_")]
#[case::unknown("Bearer tk_00000000000000000000000000000000")]
#[case::cut_off("Bearer tk_9f1c4be07a3d5528e6b0c4d1a7f3982b64e05dc")]
#[case::longer("Bearer tk_9f1c4be07a3d5528e6b0c4d1a7f3982b64e05dcee")]
#[case::other_case("Bearer tk_9F1C4BE07A3D5528E6B0C4D1A7F3982B64E05DCE")]
fn refuses_an_api_key(#[case] authorization: &str) {
    assert_eq!(by_header(authorization), Err(AuthError::UnknownApiKey));
}

#[rstest]
#[case("Bearer ")]
#[case("bearer ")]
#[case("BEARER   ")]
fn takes_bearer_in_any_case(#[case] scheme: &str) {
    assert!(by_header(&format!("{scheme}{API_KEY}")).is_ok());
    assert!(by_header(&format!("{scheme}{}", token_with(json!({})))).is_ok());
}

/// A name, what `Authorization`, query and cookie hold, and who or what comes of it.
type Row<'a> = (&'a str, Option<&'a str>, Option<&'a str>, Option<&'a str>, &'a str);

#[test]
fn judges_by_the_strongest_credential_alone() {
    let good = token_with(json!({"sub": "good"}));
    let other = token_with(json!({"sub": "other"}));
    let expired = token_with(json!({"exp": NOW_SECS - 1}));
    let (key, token) = (format!("Bearer {API_KEY}"), format!("Bearer {good}"));
    let (bad_key, bad_token) = ("Bearer tk_unknown", format!("Bearer {expired}"));
    let rows: &[Row<'_>] = &[
        ("nothing", None, None, None, "unauthenticated"),
        ("key", Some(&key), None, None, "api_key"),
        ("token", Some(&token), None, None, "good"),
        ("query", None, Some(&good), None, "good"),
        ("cookie", None, None, Some(&good), "good"),
        ("key over query", Some(&key), Some(&other), None, "api_key"),
        ("key over a bad query", Some(&key), Some("bad"), None, "api_key"),
        ("key over cookie", Some(&key), None, Some(&other), "api_key"),
        ("token with query", Some(&token), Some(&other), None, "ambiguous-credentials"),
        ("token with the same query", Some(&token), Some(&good), None, "ambiguous-credentials"),
        ("token with an empty query", Some(&token), Some(""), None, "ambiguous-credentials"),
        ("token over cookie", Some(&token), None, Some(&other), "good"),
        ("query over cookie", None, Some(&good), Some(&other), "good"),
        ("bad key, good query", Some(bad_key), Some(&good), None, "unauthenticated"),
        ("bad key, good cookie", Some(bad_key), None, Some(&good), "unauthenticated"),
        ("bad token, good cookie", Some(&bad_token), None, Some(&good), "token-expired"),
        ("bad scheme, good query", Some("Basic x"), Some(&good), None, "unauthenticated"),
        ("bad query, good cookie", None, Some(&expired), Some(&good), "token-expired"),
        ("empty query, good cookie", None, Some(""), Some(&good), "unauthenticated"),
        ("empty cookie", None, None, Some(""), "unauthenticated"),
        ("key in the query", None, Some(API_KEY), None, "unauthenticated"),
        ("key in the cookie", None, None, Some(API_KEY), "unauthenticated"),
    ];
    for (row, authorization, query_token, cookie_token, expected) in rows {
        let credentials = Credentials {
            authorization: authorization.map(str::as_bytes),
            query_token: *query_token,
            cookie_token: cookie_token.map(str::as_bytes),
            ..Credentials::default()
        };
        let outcome = match authenticate(&config(), &credentials) {
            Ok(Principal { user: Some(user), .. }) => user.id().to_owned(),
            Ok(principal) => principal.name.unwrap().to_string(),
            Err(error) => error.code().to_owned(),
        };
        assert_eq!(outcome, *expected, "{row}");
        let repeated = Credentials { repeated: true, ..credentials };
        let outcome = authenticate(&config(), &repeated);
        assert_eq!(outcome, Err(AuthError::Ambiguous), "{row}, repeated");
    }
}

#[test]
fn repeats_no_credential_in_what_it_says() {
    let canary = "canaryCANARYcanaryCANARYcanaryCANARY";
    let token = token_with(json!({"sub": 7, "jti": canary}));
    let body = format!("Bearer {canary}");
    for authorization in
        ["Basic canary", &body, &format!("Bearer tk_{canary}"), &format!("Bearer {token}")]
    {
        let credentials =
            Credentials { authorization: Some(authorization.as_bytes()), ..Credentials::default() };
        let error = authenticate(&config(), &credentials).unwrap_err();
        let said = format!("{error} {error:?} {credentials:?}");
        assert!(!said.to_lowercase().contains("canary") && !said.contains(&token), "{said}");
    }
}

#[test]
fn grants_a_token_its_claims_and_its_users_topics() {
    let token = token_with(json!({
        "sub": "a/b", "subscribe": ["orders/*"], "publish": ["chat/**"], "role": "admin",
        "sid": "s1", "meta": {"name": "Ada"}, "until": NOW_SECS + 900,
    }));
    let principal = by_token(&token).unwrap();
    assert_eq!(principal.method, Method::Token);
    assert_eq!(principal.user.as_ref().unwrap().topic().as_str(), "user/a%2Fb");
    assert_eq!(principal.connect_until_ms, Some(NOW_MS + 300_000));
    assert_eq!(principal.until_ms, Some(NOW_MS + 900_000));
    assert_eq!((principal.jti.as_deref(), principal.sid.as_deref()), (Some("7f3a"), Some("s1")));
    assert_eq!(principal.role.as_deref(), Some("admin"));
    assert_eq!(principal.meta.unwrap()["name"], "Ada");
    assert!(principal.scopes.is_empty());
    let may = |pattern: &str| principal.grant.may_subscribe(&pattern.parse().unwrap());
    assert!(may("user/a%2Fb") && may("broadcast") && may("orders/1"));
    assert!(!may("user/a/b") && !may("user/*") && !may("chat/1"));
    assert!(principal.grant.may_publish(&"chat/1/2".parse().unwrap()));
    assert!(!principal.grant.may_publish(&"user/a%2Fb".parse().unwrap()));
}

#[test]
fn grants_a_token_without_lists_the_default_topics_only() {
    let principal = by_token(&token_with(json!({}))).unwrap();
    let topics: Vec<_> = principal.grant.default_topics.iter().map(Pattern::as_str).collect();
    assert_eq!(topics, ["user/42", "broadcast"]);
    assert!(!principal.grant.may_subscribe(&"orders/1".parse().unwrap()));
    assert!(!principal.grant.publishes());
}

#[test]
fn grants_an_api_key_what_its_scopes_say() {
    let grant = |key: &str| by_header(&format!("Bearer {key}")).unwrap().grant;
    let (orders, own) = ("orders/1".parse::<Topic>().unwrap(), Topic::reserved("$hub").unwrap());
    let everything = "**".parse().unwrap();

    let all = grant(API_KEY);
    assert!(all.may_publish(&orders) && all.may_subscribe(&everything));
    assert!(!all.may_publish(&own));
    assert_eq!(all.default_topics.iter().map(Pattern::as_str).collect::<Vec<_>>(), ["broadcast"]);

    let publish = grant(PUBLISH_KEY);
    assert!(publish.may_publish(&orders) && publish.publishes());
    assert!(!publish.subscribes() && !publish.may_subscribe(&"broadcast".parse().unwrap()));

    let admin = grant(ADMIN_KEY);
    assert!(admin.may_subscribe(&everything) && !admin.publishes());

    assert_eq!(
        by_header(&format!("Bearer {PUBLISH_KEY}")).unwrap().name.as_deref(),
        Some("orders")
    );
}

#[test]
fn takes_no_tokens_without_a_secret() {
    let mut config = config();
    config.tokens.secret = None;
    let token = token_with(json!({}));
    let credentials = Credentials { query_token: Some(&token), ..Credentials::default() };
    let outcome = authenticate(&config, &credentials);
    assert_eq!(outcome, Err(AuthError::NoTokens));
}

#[rstest]
#[case::off(LegacyUserId::Off, false, "42", false, Err(AuthError::UserIdOff))]
#[case::from_here(LegacyUserId::Insecure, false, "42", false, Ok("user/42"))]
#[case::from_elsewhere(LegacyUserId::Insecure, false, "42", true, Err(AuthError::UserIdRemote))]
#[case::from_elsewhere_as_allowed(LegacyUserId::Insecure, true, "42", true, Ok("user/42"))]
#[case::allowed_and_off(LegacyUserId::Off, true, "42", true, Err(AuthError::UserIdOff))]
#[case::strange(LegacyUserId::Insecure, false, "a/*", false, Ok("user/a%2F%2A"))]
#[case::empty(LegacyUserId::Insecure, false, "", false, Err(AuthError::UserId(UserError::Empty)))]
fn believes_a_bare_user_id_as_far_as_it_is_told(
    #[case] legacy_user_id: LegacyUserId,
    #[case] remote: bool,
    #[case] user_id: &str,
    #[case] is_remote: bool,
    #[case] expected: Result<&str, AuthError>,
) {
    let mut config = config();
    config.auth.legacy_user_id = legacy_user_id;
    config.auth.legacy_user_id_remote = remote;
    let claim = Credentials { user_id: Some(user_id), is_remote, ..Credentials::default() };
    let principal = authenticate(&config, &claim);
    if let Ok(principal) = &principal {
        assert_eq!(principal.method, Method::UserId);
        assert!(!principal.grant.publishes() && principal.grant.subscribe.is_empty());
        assert!(principal.role.is_none() && principal.scopes.is_empty());
    }
    let topic = principal.map(|principal| principal.user.unwrap().topic().as_str().to_owned());
    assert_eq!(topic, expected.map(str::to_owned));
    // Whatever is stronger decides alone.
    let beside = Credentials { query_token: Some("x"), ..claim };
    assert!(matches!(authenticate(&config, &beside), Err(AuthError::Token(_))));
}

fn request(user: &str) -> TokenRequest {
    TokenRequest {
        user: User::new(user).unwrap(),
        subscribe: vec!["orders/*".parse().unwrap()],
        publish: vec!["chat/1".parse().unwrap()],
        role: Some("admin".to_owned()),
        sid: Some("s1".to_owned()),
        meta: Some(Map::from_iter([("name".to_owned(), json!("Ada"))])),
        ttl_secs: 300,
        until_secs: Some(900),
    }
}

#[test]
fn takes_back_what_it_mints() {
    let mut tokens = config().tokens;
    tokens.issuer = Some("https://app".to_owned());
    let key = TokenKey::new(&tokens).unwrap();
    let request = request("a/b");
    let claims = key.verify(&key.mint(&request, NOW_MS, 7).unwrap(), NOW_MS + 299_999).unwrap();
    let expected = Claims {
        user: request.user,
        issued_at_ms: NOW_MS,
        connect_until_ms: NOW_MS + 300_000,
        until_ms: Some(NOW_MS + 900_000),
        jti: "00000000000000000000000000000007".to_owned(),
        sid: request.sid,
        subscribe: request.subscribe,
        publish: request.publish,
        role: request.role,
        meta: request.meta,
    };
    assert_eq!(claims, expected);
    let late = key.verify(&key.mint(&self::request("42"), NOW_MS, 7).unwrap(), NOW_MS + 300_000);
    assert_eq!(late, Err(TokenError::Expired));
}

#[rstest]
#[case(|r: &mut TokenRequest| r.ttl_secs = 0)]
#[case(|r: &mut TokenRequest| r.ttl_secs = u64::MAX)]
#[case(|r: &mut TokenRequest| r.until_secs = Some(0))]
#[case(|r: &mut TokenRequest| r.role = Some(String::new()))]
#[case(|r: &mut TokenRequest| r.subscribe = vec!["a".parse().unwrap(); 101])]
#[case(|r: &mut TokenRequest| r.meta = Some(Map::from_iter([("x".into(), json!("x".repeat(2000)))])))]
fn mints_nothing_it_would_refuse(#[case] change: fn(&mut TokenRequest)) {
    let mut request = request("42");
    change(&mut request);
    let key = TokenKey::new(&config().tokens).unwrap();
    assert!(key.mint(&request, NOW_MS, 7).is_err());
}
