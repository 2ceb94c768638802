//! What a configuration is made of, and what it is refused for.

use std::ffi::OsString;

use rstest::rstest;

use super::*;

const API_KEY: &str = "tk_9f1c4be07a3d5528e6b0c4d1a7f3982b64e05dce";
const TOKEN_SECRET: &str = "q0Yk3uCzP8vNfW5tJr2XhB7LgMs9aEoD6iTnK1wQxR4=";

/// Random bytes, drawn once.
const DRAWN: [u8; 64] = *b"NqVwYS81VP7Hb1DX8pPd5khxE3pyIgKpaUnArl63XykWZeiNNCiia3anXn9k3ksu";

struct Given<'a> {
    file: &'a str,
    environment: &'a [(&'a str, &'a str)],
    listen: &'a [&'a str],
    dev: bool,
    secrets: bool,
}

impl Default for Given<'_> {
    fn default() -> Self {
        Self { file: "", environment: &[], listen: &[], dev: false, secrets: true }
    }
}

fn load(given: &Given<'_>) -> Result<Config, ConfigErrors> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidings.toml");
    std::fs::write(&path, given.file).unwrap();
    let secrets: &[_] = if given.secrets {
        &[("TIDINGS_API_KEY", API_KEY), ("TIDINGS_TOKEN_SECRET", TOKEN_SECRET)]
    } else {
        &[]
    };
    let environment = given.environment.iter().chain(secrets);
    let environment: Vec<(OsString, OsString)> =
        environment.map(|(name, value)| (name.into(), value.into())).collect();
    let listen = given.listen.iter().map(|&text| text.to_owned()).collect();
    let flags = Flags { listen, token_secret: None };
    let dev = given.dev.then(|| DevSecrets::from_random(&DRAWN));
    ConfigSource::new(Some(path), flags, environment, dev).load()
}

/// The problems, one per line, without the temporary folder in them.
fn complaints(given: &Given<'_>) -> Vec<String> {
    let errors = load(given).expect_err("this configuration must be refused");
    let folder = |text: String| match text.split_once("tidings.toml:") {
        Some((_, rest)) => format!("tidings.toml:{rest}"),
        None => text,
    };
    errors.problems().iter().map(|problem| folder(problem.to_string())).collect()
}

#[test]
fn needs_no_more_than_the_two_secrets() {
    let config = load(&Given::default()).unwrap();
    let expected = Config {
        api_key: Some(Secret::new(API_KEY)),
        tokens: Tokens { secret: Some(Secret::new(TOKEN_SECRET)), ..Tokens::default() },
        ..Config::default()
    };
    assert_eq!(config, expected);
}

#[test]
fn puts_flags_over_environment_over_file_over_defaults() {
    let file = "listen = [\"127.0.0.1:1\"]\nhead_timeout_secs = 1\nbody_timeout_secs = 1";
    let environment =
        [("TIDINGS_LISTEN", "[::1]:2, 127.0.0.1:2"), ("TIDINGS_HEAD_TIMEOUT_SECS", "2")];
    let mut given = Given { file, environment: &environment, ..Given::default() };
    let config = load(&given).unwrap();
    assert_eq!(config.listen, ["[::1]:2".parse().unwrap(), "127.0.0.1:2".parse().unwrap()]);
    assert_eq!((config.head_timeout_secs, config.body_timeout_secs), (2, 1));
    assert_eq!(config.head_bytes_max, Config::default().head_bytes_max);
    given.listen = &["127.0.0.1:3"];
    assert_eq!(load(&given).unwrap().listen, ["127.0.0.1:3".parse().unwrap()]);
}

#[test]
fn reads_every_section_from_a_file() {
    let file = r#"
        base_path = "/live"
        [log]
        events_per_topic_max = 5
        [streams]
        heartbeat_secs = 5
        [limits]
        connections_per_node = 0
        [auth]
        default_topics = ["user/{user}", "news/**"]
        [cors]
        origins = ["https://app.example.com"]
        [[keys]]
        name = "orders"
        secret = "tk_2b64e05dce9f1c4be07a3d5528e6b0c4d1a7f398"
        scopes = ["publish", "token"]
    "#;
    let config = load(&Given { file, ..Given::default() }).unwrap();
    assert_eq!(config.base_path.as_str(), "/live");
    assert_eq!(config.log.events_per_topic_max, 5);
    assert_eq!(config.log.age_max_secs, 3600);
    assert_eq!(config.streams.heartbeat_secs, 5);
    assert_eq!(config.limits.connections_per_node, 0);
    assert_eq!(config.auth.default_topics.len(), 2);
    assert_eq!(config.cors.origins[0].as_str(), "https://app.example.com");
    assert_eq!(config.keys[0].scopes, [Scope::Publish, Scope::Token]);
}

#[rstest]
#[case("TIDINGS_LOG__BYTES_MAX", "2000000", |c: &Config| c.log.bytes_max == 2_000_000)]
#[case("TIDINGS_TOKENS__AUDIENCE", "shop", |c: &Config| c.tokens.audience == "shop")]
#[case("TIDINGS_CORS__ORIGINS", "https://a.com,https://b.com", |c: &Config| c.cors.origins.len() == 2)]
#[case("TIDINGS_CORS__ORIGINS", r#"["https://a.com"]"#, |c: &Config| c.cors.origins.len() == 1)]
#[case("TIDINGS_CORS__ORIGINS", "", |c: &Config| c.cors.origins.is_empty())]
#[case("TIDINGS_HOSTS", "[::1],live.example.com", |c: &Config| c.hosts.len() == 2)]
#[case("TIDINGS_HOSTS", r#"["LIVE.example.com"]"#, |c: &Config| c.hosts.len() == 1)]
#[case("TIDINGS_TRUSTED_PROXIES", "127.0.0.1,10.0.0.0/8", |c: &Config| c.trusted_proxies.len() == 2)]
#[case("TIDINGS_ADMIN_LISTEN", "[::1]:4001,127.0.0.1:4001", |c: &Config| c.admin_listen.len() == 2)]
#[case("TIDINGS_LIMITS__SSE__LIMIT", "7", |c: &Config| c.limits.sse.limit == 7 && c.limits.sse.window_secs == 60)]
#[case("TIDINGS_LIMITS__POLLING__WINDOW_SECS", "7", |c: &Config| c.limits.polling.limit == 60)]
#[case("TIDINGS_LISTEN", "[::1]:4001", |c: &Config| c.listen[0].port() == 4001)]
#[case(
    "TIDINGS_KEYS",
    r#"[{"name":"a","secret":"tk_2b64e05dce9f1c4be07a3d5528e6b0c4d1a7f398","scopes":["admin"]}]"#,
    |c: &Config| c.keys[0].scopes == [Scope::Admin]
)]
#[case("TIDINGS_AUTH__LEGACY_USER_ID", "insecure", |c: &Config| c.auth.legacy_user_id == LegacyUserId::Insecure)]
#[case(
    "TIDINGS_AUTH__SESSION__AUTHJS__SECRETS",
    "q0Yk3uCzP8vNfW5tJr2XhB7LgMs9aEoD6iTnK1wQxR4=, Wq3vN8zKxT5rJpL1mYh7cDbG2sFa9UeR0iOt",
    |c: &Config| c.auth.session.authjs.secrets.len() == 2
)]
#[case("TIDINGS_URL", "http://elsewhere", |c: &Config| c.listen.len() == 1)]
fn reads_the_environment(
    #[case] variable: &str,
    #[case] value: &str,
    #[case] holds: fn(&Config) -> bool,
) {
    let environment = [(variable, value)];
    let config = load(&Given { environment: &environment, ..Given::default() }).unwrap();
    assert!(holds(&config), "{config:?}");
}

#[rstest]
#[case("TIDINGS_TOKEN_SECRET_FILE")]
#[case("TIDINGS_TOKENS__SECRET_FILE")]
fn reads_a_secret_from_a_file(#[case] variable: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, format!("{TOKEN_SECRET}\n")).unwrap();
    let environment = [(variable, path.to_str().unwrap()), ("TIDINGS_API_KEY", API_KEY)];
    let given = Given { environment: &environment, secrets: false, ..Given::default() };
    let config = load(&given).unwrap();
    assert_eq!(config.tokens.secret.unwrap().expose(), TOKEN_SECRET);
}

#[test]
fn reads_a_list_of_secrets_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets");
    std::fs::write(&path, format!("{TOKEN_SECRET},Wq3vN8zKxT5rJpL1mYh7cDbG2sFa9UeR0iOt\n"))
        .unwrap();
    let environment = [("TIDINGS_AUTH__SESSION__AUTHJS__SECRETS_FILE", path.to_str().unwrap())];
    let config = load(&Given { environment: &environment, ..Given::default() }).unwrap();
    assert_eq!(config.auth.session.authjs.secrets[0].expose(), TOKEN_SECRET);
    assert_eq!(config.auth.session.authjs.secrets.len(), 2);
}

#[test]
fn reads_tables_with_secrets_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks");
    let webhooks = format!(r#"[{{"url": "https://hooks.a/canary", "secret": "{TOKEN_SECRET}"}}]"#);
    std::fs::write(&path, webhooks + "\n").unwrap();
    let environment = [("TIDINGS_ALERTS__WEBHOOKS_FILE", path.to_str().unwrap())];
    let config = load(&Given { environment: &environment, ..Given::default() }).unwrap();
    let webhook = &config.alerts.webhooks[0];
    assert_eq!(webhook.secret.as_ref().unwrap().expose(), TOKEN_SECRET);
    assert_eq!((webhook.url.host(), webhook.format), ("hooks.a", WebhookFormat::Json));
    let shown = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
    assert!(!shown.contains("canary") && !shown.contains(TOKEN_SECRET), "{shown}");
}

#[test]
fn reads_sections_within_sections() {
    let file = r#"
        [auth.session.introspect]
        cookies = ["sid"]
        headers = ["X-Session"]
        [tokens]
        ttl_max_secs = 600
    "#;
    let environment = [("TIDINGS_AUTH__SESSION__INTROSPECT__URL", "http://app:3000/session")];
    let config = load(&Given { file, environment: &environment, ..Given::default() }).unwrap();
    let introspect = config.auth.session.introspect;
    assert_eq!(introspect.url.unwrap().to_string(), "http://app:3000/session");
    assert_eq!(introspect.cookies[0].as_str(), "sid");
    assert_eq!(introspect.headers[0].as_str(), "x-session");
    assert_eq!((introspect.cache_secs, config.tokens.ttl_max_secs), (10, 600));
}

#[rstest]
#[case("[tokens]\nissuer = \"i\"\njwks_file = \"x\"", true)]
#[case("[auth.session.introspect]\nurl = \"https://app\"\ncookies = [\"a\"]", true)]
#[case("[auth]\nlegacy_user_id = \"insecure\"", false)]
fn needs_no_token_secret_beside_another_proof(#[case] file: &str, #[case] enough: bool) {
    let environment = [("TIDINGS_API_KEY", API_KEY)];
    let given = Given { file, environment: &environment, secrets: false, ..Given::default() };
    assert_eq!(load(&given).is_ok(), enough);
}

// Names, places and values in a file. The last column is what the complaint must begin with and,
// after `~`, contain.
#[rstest]
#[case("listne = []", "tidings.toml:1: listne is no setting~listen")]
#[case("\n[limit]\nx = 1", "tidings.toml:2: limit is no setting~limits")]
#[case("[log]\nbytes = 1", "tidings.toml:2: log.bytes is no setting~log.bytes_max")]
#[case("log = 1", "tidings.toml:1: log is a section~[log]")]
#[case("listen = \"127.0.0.1:1\"", "tidings.toml:1: listen must be a list")]
#[case("listen = []", "tidings.toml:1: listen must have from 1 to 16 entries, not 0")]
#[case("listen = [\"127.0.0.1:1\",\n\"localhost:1\"]", "tidings.toml:2: listen[1] is wrong")]
#[case("listen = [\"127.0.0.1:1\", \"127.0.0.1:1\"]", "tidings.toml:1: listen[1] repeats")]
#[case("base_path = \"live\"", "tidings.toml:1: base_path is wrong~/live")]
#[case(
    "broker = \"disk:\"",
    "tidings.toml:1: broker is wrong: names no folder~broker = \"disk:./data\""
)]
#[case(
    "broker = \"amqp://u:canary@h\"",
    "tidings.toml:1: broker is wrong: is not \"memory\", \"disk:FOLDER\""
)]
#[case("broker = 7", "tidings.toml:1: broker must be a text")]
#[case(
    "event_bytes_max = 0",
    "tidings.toml:1: event_bytes_max must be a whole number from 256~event_bytes_max = 65536"
)]
#[case("event_bytes_max = -1", "tidings.toml:1: event_bytes_max must be a whole number")]
#[case("event_bytes_max = 1.5", "tidings.toml:1: event_bytes_max must be a whole number")]
#[case("event_bytes_max = \"64k\"", "tidings.toml:1: event_bytes_max must be a whole number")]
#[case("event_bytes_max = 1979-05-27", "tidings.toml:1: event_bytes_max must be a whole number")]
#[case(
    "event_bytes_max = 99999999999999999999",
    "tidings.toml:1: event_bytes_max has a value out of range"
)]
#[case("head_bytes_max = 100", "tidings.toml:1: head_bytes_max must be a whole number from 8192")]
#[case("[streams]\nheartbeat_secs = 0", "tidings.toml:2: streams.heartbeat_secs must be")]
#[case("[streams]\nheartbeat_secs = 86400", "tidings.toml:2: streams.heartbeat_secs must be")]
#[case("[streams]\ndrain_secs = 0", "tidings.toml:2: streams.drain_secs must be")]
#[case("[log]\nage_max_secs = 0", "tidings.toml:2: log.age_max_secs must be")]
#[case("[log]\nevents_per_topic_max = 0", "tidings.toml:2: log.events_per_topic_max must be")]
#[case("[idempotency]\nkeys_max = 0", "tidings.toml:2: idempotency.keys_max must be")]
#[case(
    "request_bytes_max = 2048",
    "tidings.toml:1: request_bytes_max is less than event_bytes_max"
)]
#[case("event_bytes_max = 16777216", "not set: request_bytes_max is less than event_bytes_max")]
#[case("[cors]\norigins = [\"*\"]", "tidings.toml:2: cors.origins[0] is wrong~there is no `*`")]
#[case("[cors]\norigins = [\"https://a.com/x\"]", "tidings.toml:2: cors.origins[0] is wrong")]
#[case(
    "[auth]\ndefault_topics = [\"user/{id}\"]",
    "tidings.toml:2: auth.default_topics[0] is wrong"
)]
#[case(
    "[auth]\nlegacy_user_id = \"on\"",
    "tidings.toml:2: auth.legacy_user_id is wrong: it is \"off\" or \"insecure\""
)]
#[case(
    "[auth]\nlegacy_user_id_remote = true",
    "tidings.toml:2: auth.legacy_user_id_remote has no effect while~legacy_user_id_remote = false"
)]
#[case("[tokens]\nttl_max_secs = 59", "tidings.toml:2: tokens.ttl_max_secs must be")]
#[case(
    "[tokens]\njwks_url = \"https://x\"",
    "not set: tokens.issuer is missing~issuer = \"https://…\""
)]
#[case("[tokens]\njwks_file = \"x\"", "not set: tokens.issuer is missing")]
#[case(
    "[tokens]\nissuer = \"i\"\njwks_url = \"https://x\"\njwks_file = \"x\"",
    "tidings.toml:4: tokens.jwks_file is given beside tokens.jwks_url"
)]
#[case(
    "[tokens]\nissuer = \"i\"\njwks_url = \"http://app/keys\"",
    "tidings.toml:3: tokens.jwks_url is plain http~jwks_url = \"https://…\""
)]
#[case(
    "[tokens]\nissuer = \"i\"\njwks_url = \"https://me:canary@app/keys\"",
    "tidings.toml:3: tokens.jwks_url is wrong: it must not have a user"
)]
#[case(
    "[auth.session.introspect]\nurl = \"https://app\"",
    "not set: auth.session.introspect.cookies is empty"
)]
#[case(
    "[auth.session.introspect]\ncookies = [\"sid\"]",
    "not set: auth.session.introspect.url is missing"
)]
#[case(
    "[auth.session.introspect]\nurl = \"https://app\"\nheaders = [\"Authorization\"]",
    "tidings.toml:3: auth.session.introspect.headers[0] is wrong: `authorization` is for API keys"
)]
#[case(
    "[auth.session.introspect]\nurl = \"https://app\"\ncookies = [\"a b\"]",
    "tidings.toml:3: auth.session.introspect.cookies[0] is wrong: `a b` names no cookie"
)]
#[case(
    "[auth.session.jwt]\ncookie = \"sid\"",
    "not set: auth.session.jwt.secret is missing~TIDINGS_AUTH__SESSION__JWT__SECRET="
)]
#[case(
    "[auth.session.jwt]\ncookie = \"sid\"\nsecret = \"canary\"",
    "tidings.toml:3: auth.session.jwt.secret is 6 bytes long"
)]
#[case(
    "[auth.session.jwt]\nsecret = \"q0Yk3uCzP8vNfW5tJr2XhB7LgMs9aEoD6iTnK1wQxR4=\"",
    "not set: auth.session.jwt.cookie is missing"
)]
#[case(
    "[auth.session.jwt]\ncookie = \"sid\"\npublic_key_file = \"x\"\nsecret = \"q0Yk3uCzP8vNfW5tJr2XhB7LgMs9aEoD6iTnK1wQxR4=\"",
    "tidings.toml:3: auth.session.jwt.public_key_file is given beside"
)]
#[case(
    "[auth.session.authjs]\nsecrets = [\"canary\"]",
    "tidings.toml:2: auth.session.authjs.secrets[0] is 6 bytes long~secrets = [\"…\"]"
)]
#[case(
    "[auth.session.authjs]\nsecrets = [271828]",
    "tidings.toml:2: auth.session.authjs.secrets[0] is wrong"
)]
#[case(
    "[auth.session]\nintrospect = { url = \"https://app\", cookies = [\"a\"] }\njwt = { cookie = \"a\", public_key_file = \"x\" }",
    "tidings.toml:3: auth.session.jwt.cookie turns on a second method"
)]
#[case(
    "[auth.session]\njwt = 1",
    "tidings.toml:2: auth.session.jwt is a section~[auth.session.jwt]"
)]
#[case("[tokens]\naudience = \"\"", "tidings.toml:2: tokens.audience must be from 1")]
#[case("[tokens]\nsecret = 271828", "tidings.toml:2: tokens.secret must be a text")]
#[case(
    "admin_listen = [\"192.0.2.1:1\"]",
    "tidings.toml:1: admin_listen[0] is 192.0.2.1:1, which other~admin_listen = [\"127.0.0.1:1\"]"
)]
#[case(
    "listen = [\"127.0.0.1:1\"]\nadmin_listen = [\"127.0.0.1:1\"]",
    "tidings.toml:2: admin_listen[0] is 127.0.0.1:1, which listen has"
)]
#[case("hosts = [\"https://a.com\"]", "tidings.toml:1: hosts[0] is wrong~has a scheme")]
#[case("hosts = [\"*.a.com\"]", "tidings.toml:1: hosts[0] is wrong~wildcard")]
#[case(
    "trusted_proxies = [\"0.0.0.0/0\"]",
    "tidings.toml:1: trusted_proxies[0] is wrong~is everyone"
)]
#[case("[tls]\ncert = \"x\"", "tidings.toml:2: tls.cert is given without tls.key")]
#[case("[streams]\nown_sockets = 1", "tidings.toml:2: streams.own_sockets must be true or false")]
#[case(
    "[limits.sse]\nlimit = 10001",
    "tidings.toml:2: limits.sse.limit must be a whole number from 0 to 10000"
)]
#[case(
    "[limits]\npolling = { window_secs = 0 }",
    "tidings.toml:2: limits.polling.window_secs must be a whole number from 1"
)]
#[case("[auth.session]\nkind = \"jwt\"", "tidings.toml:2: auth.session.kind is no setting")]
#[case("keys = 7", "tidings.toml:1: keys must be tables, each under [[keys]]")]
#[case("[[keys]]\nname = \"a\"", "tidings.toml:1: keys[0] is wrong: missing field `secret`")]
#[case(
    "[[keys]]\nname = \"\"\nsecret = \"tk_\"\nscopes = [\"publish\"]",
    "tidings.toml:1: keys[0] has a wrong name"
)]
#[case(
    "[[keys]]\nname = \"a\"\nsecret = \"tk_short\"\nscopes = [\"publish\"]",
    "tidings.toml:1: keys[0] has a secret that has 5 characters"
)]
#[case(
    "[[keys]]\nname = \"a\"\nsecret = \"tk_short\"\nscopes = []",
    "tidings.toml:1: keys[0] has a wrong scopes"
)]
#[case(
    "[[keys]]\nname = \"a\"\nsecret = \"tk_short\"\nscopes = [\"write\"]",
    "tidings.toml:1: keys[0] is wrong: unknown variant `write`"
)]
#[case(
    "[[keys]]\nname = \"a\"\nsecret = \"tk_9f1c4be07a3d5528e6b0c4d1a7f3982b64e05dce\"\nscopes = [\"publish\"]",
    "tidings.toml:1: keys[0] has the same secret as api_key"
)]
#[case("[alerts]\nevery_secs = 0", "tidings.toml:2: alerts.every_secs must be")]
#[case(
    "[alerts]\nconnections = 1",
    "tidings.toml:2: alerts.connections is no setting~connections_max"
)]
#[case("[alerts]\nnode = \"a\\nb\"", "tidings.toml:2: alerts.node has a control character")]
#[case("[alerts.slack]\nurl = \"canary\"", "tidings.toml:1: alerts.slack is no setting")]
#[case(
    "[[alerts.webhooks]]\nurl = \"http://app/canary\"",
    "tidings.toml:1: alerts.webhooks[0] is wrong: it is plain http to another machine"
)]
#[case(
    "[[alerts.webhooks]]\nurl = \"https://a\"\n[[alerts.webhooks]]\nurl = \"https://me:canary@a\"",
    "tidings.toml:3: alerts.webhooks[1] is wrong: it must not have a user"
)]
#[case(
    "[[alerts.webhooks]]\nurl = \"https://a\"\nsecret = \"canary\"",
    "tidings.toml:1: alerts.webhooks[0] has a secret that is 6 bytes long"
)]
#[case(
    "[[alerts.webhooks]]\nurl = \"https://a\"\nformat = \"teams\"",
    "tidings.toml:1: alerts.webhooks[0] is wrong: unknown variant"
)]
#[case("[[alerts.webhooks]]\nurl = 271828", "tidings.toml:1: alerts.webhooks[0] has a wrong url")]
#[case(
    "[alerts.mail]\nsmtp_url = \"smtp://me:canary@host\"",
    "tidings.toml:2: alerts.mail.smtp_url is wrong: it must not have a user"
)]
#[case("[alerts.mail]\npassword = 271828", "tidings.toml:2: alerts.mail.password must be a text")]
#[case("[alerts.mail]\nto = [\"on-call\"]", "tidings.toml:2: alerts.mail.to[0] is wrong")]
#[case(
    "[alerts.mail]\nto = [\"a@example.com\"]",
    "not set: alerts.mail.smtp_url is missing beside alerts.mail.to"
)]
#[case(
    "[alerts.mail]\nsmtp_url = \"smtps://a\"\nfrom = \"a@example.com\"",
    "not set: alerts.mail.to is empty"
)]
#[case(
    "[alerts.mail]\nsmtp_url = \"smtps://a\"\nto = [\"a@example.com\"]",
    "not set: alerts.mail.from is missing"
)]
#[case(
    "[alerts.mail]\nsmtp_url = \"smtps://a\"\nto = [\"a@b.c\"]\nfrom = \"a@b.c\"\nusername = \"u\"",
    "not set: alerts.mail.password is missing~TIDINGS_ALERTS__MAIL__PASSWORD"
)]
#[case(
    "[otlp]\nratio = 1.5",
    "tidings.toml:2: otlp.ratio must be a number from 0 to 1, not 1.5~0.01"
)]
#[case("[otlp]\nratio = nan", "tidings.toml:2: otlp.ratio must be a number from 0 to 1")]
#[case("[otlp]\nratio = \"canary\"", "tidings.toml:2: otlp.ratio must be a number from 0 to 1")]
#[case("[otlp]\nendpoint = \"collector:4318\"", "tidings.toml:2: otlp.endpoint is wrong")]
#[case("[otlp]\nservice_name = \"\"", "tidings.toml:2: otlp.service_name must be from 1")]
#[case("listen = [", "tidings.toml:1: is not TOML")]
#[case("a = 1\na = 2", "tidings.toml:2: is not TOML")]
fn refuses_a_file(#[case] file: &str, #[case] expected: &str) {
    let complaints = complaints(&Given { file, ..Given::default() });
    assert_eq!(complaints.len(), 1, "{complaints:#?}");
    let (begins, contains) = expected.split_once('~').unwrap_or((expected, ""));
    assert!(complaints[0].starts_with(begins), "{}", complaints[0]);
    assert!(complaints[0].contains(contains), "{}", complaints[0]);
    assert!(!complaints[0].contains("canary") && !complaints[0].contains("271828"));
}

#[rstest]
#[case(
    "TIDINGS_LISTN",
    "x",
    "TIDINGS_LISTN: is no variable of this version; the nearest is TIDINGS_LISTEN\n"
)]
#[case(
    "TIDINGS_LOG_BYTES_MAX",
    "1",
    "TIDINGS_LOG_BYTES_MAX: is no variable of this version; the nearest is TIDINGS_LOG__BYTES_MAX\n"
)]
#[case(
    "TIDINGS_TOKEN_SECRT",
    "x",
    "TIDINGS_TOKEN_SECRT: is no variable of this version; the nearest is TIDINGS_TOKEN_SECRET\n"
)]
#[case("TIDINGS_DEV", "1", "TIDINGS_DEV: is no variable")]
#[case("TIDINGS_BROKER_FILE", "x", "TIDINGS_BROKER_FILE: is no variable")]
#[case(
    "TIDINGS_LIMITS__SSE__LIMIT",
    "five",
    "TIDINGS_LIMITS__SSE__LIMIT: limits.sse.limit must be a whole number"
)]
#[case(
    "TIDINGS_TOKENS__SECRET",
    "x",
    "TIDINGS_TOKEN_SECRET: tokens.secret is also given by TIDINGS_TOKENS__SECRET"
)]
#[case(
    "TIDINGS_API_KEY_FILE",
    "/dev/null",
    "TIDINGS_API_KEY_FILE: api_key is also given by TIDINGS_API_KEY"
)]
#[case(
    "TIDINGS_EVENT_BYTES_MAX",
    "lots",
    "TIDINGS_EVENT_BYTES_MAX: event_bytes_max must be a whole number"
)]
#[case("TIDINGS_OTLP__RATIO", "half", "TIDINGS_OTLP__RATIO: otlp.ratio must be a number")]
#[case("TIDINGS_CORS__ORIGINS", "*", "TIDINGS_CORS__ORIGINS: cors.origins[0] is wrong")]
#[case("TIDINGS_KEYS", "nonsense", "TIDINGS_KEYS: keys must be tables")]
fn refuses_an_environment(#[case] variable: &str, #[case] value: &str, #[case] begins: &str) {
    let environment = [(variable, value)];
    let complaints = complaints(&Given { environment: &environment, ..Given::default() });
    assert!(complaints[0].starts_with(begins), "{complaints:#?}");
}

#[rstest]
#[case(&[], &["not set: tokens.secret is missing", "not set: api_key is missing"])]
#[case(&[("TIDINGS_TOKEN_SECRET", "short")], &["TIDINGS_TOKEN_SECRET: tokens.secret is 5 bytes", "not set: api_key"])]
#[case(&[("TIDINGS_TOKEN_SECRET", ""), ("TIDINGS_API_KEY", "")], &["TIDINGS_TOKEN_SECRET: tokens.secret is 0 bytes", "TIDINGS_API_KEY: api_key does not begin"])]
#[case(&[("TIDINGS_TOKEN_SECRET", "changeme-changeme-changeme-changeme"), ("TIDINGS_API_KEY", API_KEY)], &["TIDINGS_TOKEN_SECRET: tokens.secret is a placeholder"])]
#[case(&[("TIDINGS_TOKEN_SECRET", TOKEN_SECRET), ("TIDINGS_API_KEY", "tk_changeme")], &["TIDINGS_API_KEY: api_key has 8 characters"])]
#[case(&[("TIDINGS_TOKEN_SECRET_FILE", "/nowhere/at/all"), ("TIDINGS_API_KEY", API_KEY)], &["TIDINGS_TOKEN_SECRET_FILE: tokens.secret is to be read from a file", "not set: tokens.secret"])]
fn refuses_to_start_with_weak_or_missing_secrets(
    #[case] environment: &[(&str, &str)],
    #[case] expected: &[&str],
) {
    let complaints = complaints(&Given { environment, secrets: false, ..Given::default() });
    assert_eq!(complaints.len(), expected.len(), "{complaints:#?}");
    for (complaint, expected) in complaints.iter().zip(expected) {
        assert!(complaint.starts_with(expected), "{complaint}");
    }
}

/// Whatever of traces is set, in a binary without them.
#[test]
fn takes_settings_of_traces_only_where_there_are_traces() {
    let file = "[otlp]\nratio = 0.25\nservice_name = \"edge\"";
    let environment = [("TIDINGS_OTLP__ENDPOINT", "http://collector:4318")];
    let given = Given { file, environment: &environment, ..Given::default() };
    if cfg!(feature = "otlp") {
        let otlp = load(&given).unwrap().otlp;
        assert_eq!(otlp.endpoint.unwrap().to_string(), "http://collector:4318/");
        assert_eq!((otlp.ratio, otlp.service_name.as_deref()), (Some(0.25), Some("edge")));
        return;
    }
    let expected = [
        "TIDINGS_OTLP__ENDPOINT: otlp.endpoint cannot be used: this binary was built without traces",
        "tidings.toml:2: otlp.ratio cannot be used",
        "tidings.toml:3: otlp.service_name cannot be used",
    ];
    let complaints = complaints(&given);
    assert_eq!(complaints.len(), expected.len(), "{complaints:#?}");
    for (complaint, expected) in complaints.iter().zip(expected) {
        assert!(complaint.starts_with(expected), "{complaint}");
        assert!(complaint.contains("--features"), "{complaint}");
    }
}

#[test]
fn tells_everything_that_is_wrong_at_once() {
    let given = Given {
        file: "listne = 1\nevent_bytes_max = 0\n[cors]\norigins = [\"*\", \"https://a.com\", \"null\"]",
        environment: &[("TIDINGS_LOG__AGE_MAX_SECS", "0")],
        listen: &["nowhere"],
        secrets: false,
        ..Given::default()
    };
    assert_eq!(complaints(&given).len(), 8);
}

#[test]
fn makes_up_what_is_missing_in_dev() {
    let config = load(&Given { dev: true, secrets: false, ..Given::default() }).unwrap();
    assert!(config.dev);
    assert_eq!(config.api_key.unwrap().api_key_weakness(), None);
    assert_eq!(config.tokens.secret.unwrap().signing_weakness(), None);
}

#[test]
fn keeps_what_is_given_in_dev_even_if_weak() {
    let environment = [("TIDINGS_TOKEN_SECRET", "weak"), ("TIDINGS_API_KEY", "tk_weak")];
    let given = Given { dev: true, secrets: false, environment: &environment, ..Given::default() };
    let config = load(&given).unwrap();
    assert_eq!(config.tokens.secret.unwrap().expose(), "weak");
    assert_eq!(config.api_key.unwrap().expose(), "tk_weak");
}

#[test]
fn loosens_in_dev_the_limits_that_are_not_set() {
    let limits = |given: &Given<'_>| {
        let limits = load(given).unwrap().limits;
        [limits.sse.limit, limits.polling.limit, limits.auth_failures.limit]
    };
    let file = "[limits]\nsse = { window_secs = 10 }\npolling = { limit = 60 }";
    let environment = [("TIDINGS_LIMITS__AUTH_FAILURES__LIMIT", "3")];
    let mut given = Given { dev: true, ..Given::default() };
    assert_eq!(limits(&given), [1000, 1000, 1000]);
    given = Given { file, environment: &environment, ..given };
    assert_eq!(limits(&given), [1000, 60, 3]);
    given.dev = false;
    assert_eq!(limits(&given), [5, 60, 3]);
}

#[rstest]
#[case("0.0.0.0:4001", "", false)]
#[case("[::ffff:127.0.0.1]:4001", "", false)]
#[case("127.0.0.1:4001", "", true)]
#[case("[::1]:4001", "", true)]
#[case("0.0.0.0:4001", "[tls]\ncert = \"c\"\nkey = \"k\"", true)]
fn serves_operators_beyond_this_machine_with_tls_only(
    #[case] address: &str,
    #[case] tls: &str,
    #[case] allowed: bool,
) {
    let file = format!("admin_listen = [\"{address}\"]\n{tls}");
    let mut given = Given { file: &file, ..Given::default() };
    assert_eq!(load(&given).is_ok(), allowed);
    given.dev = true;
    assert_eq!(load(&given).is_ok(), allowed && tls.is_empty());
}

#[rstest]
#[case("0.0.0.0:4000", false)]
#[case("[::]:4000", false)]
#[case("192.168.1.7:4000", false)]
#[case("[::ffff:192.168.1.7]:4000", false)]
#[case("127.0.0.1:0", true)]
#[case("127.8.9.1:4000", true)]
#[case("[::1]:4000", true)]
fn listens_on_loopback_only_in_dev(#[case] address: &str, #[case] allowed: bool) {
    let mut given = Given { dev: true, listen: &[address], ..Given::default() };
    assert_eq!(load(&given).is_ok(), allowed);
    given.dev = false;
    assert!(load(&given).is_ok());
}

#[test]
fn says_that_a_file_is_missing() {
    let source =
        ConfigSource::new(Some("/nowhere/tidings.toml".into()), Flags::default(), [], None);
    let errors = source.load().unwrap_err();
    let first = errors.problems()[0].to_string();
    assert!(first.contains("/nowhere/tidings.toml") && first.contains("cannot be read"), "{first}");
}

#[test]
fn reads_the_file_anew_on_reload() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidings.toml");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    let dev = DevSecrets::from_random(&[7; 64]);
    write("[streams]\nheartbeat_secs = 5");
    let source = ConfigSource::new(Some(path.clone()), Flags::default(), [], Some(dev));
    let before = source.load().unwrap();
    write("[streams]\nheartbeat_secs = 6");
    let after = source.load().unwrap();
    assert_eq!((before.streams.heartbeat_secs, after.streams.heartbeat_secs), (5, 6));
    assert_eq!(before.api_key, after.api_key);
    assert_eq!(before.needs_restart(&after), [""; 0]);
    write("[log]\nage_max_secs = 60");
    assert_eq!(before.needs_restart(&source.load().unwrap()), ["log"]);
}

#[test]
fn writes_a_default_document_that_reads_back_as_the_defaults() {
    let document = default_document();
    assert_eq!(toml::from_str::<Config>(&document).unwrap(), Config::default());
    assert_eq!(
        load(&Given { file: &document, ..Given::default() }).unwrap(),
        load(&Given::default()).unwrap()
    );
    // Every setting is in it, also those without a default.
    for setting in catalogue::Catalogue::new().settings() {
        let shown = document.lines().any(|line| {
            let line = line.trim_start_matches("# ");
            line.starts_with(&format!("{} = ", setting.name()))
                || line == format!("[[{}]]", setting.path)
        });
        assert!(shown, "{} is not in the document", setting.path);
        assert!(!setting.description.is_empty(), "{} is not explained", setting.path);
    }
    assert!(document.lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn refuses_the_examples_of_the_default_document_as_secrets() {
    let document =
        default_document().replace("# api_key =", "api_key =").replace("# secret =", "secret =");
    let complaints = complaints(&Given { file: &document, secrets: false, ..Given::default() });
    // That of a session's cookie beside the two, and that no cookie is named for it.
    assert_eq!(complaints.len(), 4, "{complaints:#?}");
}

#[test]
fn shows_no_secret_in_its_debug_form() {
    let file = format!("[[keys]]\nname = \"a\"\nsecret = \"{API_KEY}0\"\nscopes = [\"publish\"]");
    let config = load(&Given { file: &file, ..Given::default() }).unwrap();
    let shown = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
    assert!(!shown.contains(API_KEY) && !shown.contains(TOKEN_SECRET), "{shown}");
}

#[test]
fn has_a_schema_that_knows_every_section() {
    let schema = serde_json::to_value(schema()).unwrap();
    for name in ["listen", "log", "streams", "tokens", "auth", "cors", "alerts", "otlp", "keys"] {
        assert!(schema["properties"][name].is_object(), "{name}");
    }
    assert_eq!(schema["additionalProperties"], false);
}
