//! The commands that need no server, run as a user runs them: output, complaints and exit codes.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use rstest::rstest;
use serde_json::Value;

const SECRET: &str = "q0Yk3uCzP8vNfW5tJr2XhB7LgMs9aEoD6iTnK1wQxR4=";
const API_KEY: &str = "tk_9f1c4be07a3d5528e6b0c4d1a7f3982b64e05dce";

/// Runs `tidings` with nothing in its environment but these variables.
fn tidings(args: &[&str], environment: &[(&str, &str)], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidings"))
        .args(args)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built for this test");
    // A command that does not read its input may be gone already; its output tells.
    let _ = child.stdin.take().expect("it is piped").write_all(stdin.as_bytes());
    child.wait_with_output().expect("its output can be read")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("output is UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("complaints are UTF-8")
}

/// A token made by `tidings token new` with these arguments.
fn token(args: &[&str]) -> String {
    let args = [&["token", "new", "--user", "42"], args].concat();
    let output = tidings(&args, &[("TIDINGS_TOKEN_SECRET", SECRET)], "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stdout(&output)
}

#[rstest]
#[case::nothing(&[], 2)]
#[case::unknown_command(&["frobnicate"], 2)]
#[case::unknown_flag(&["serve", "--frobnicate"], 2)]
#[case::help(&["--help"], 0)]
#[case::version(&["--version"], 0)]
#[case::serve_without_secrets(&["serve"], 78)]
#[case::serve_beyond_this_machine_in_dev(&["serve", "--dev", "--listen", "0.0.0.0:0"], 78)]
#[case::missing_file(&["config", "check", "--config", "/nowhere/tidings.toml"], 78)]
#[case::unknown_shell(&["completions", "tcsh"], 2)]
#[case::token_without_user(&["token", "new"], 2)]
#[case::token_for_nobody(&["token", "new", "--user", ""], 2)]
#[case::token_without_secret(&["token", "new", "--user", "42"], 2)]
#[case::token_for_a_wrong_pattern(&["token", "new", "--user", "42", "--subscribe", "a*"], 2)]
#[case::token_with_a_list_as_meta(&["token", "new", "--user", "42", "--meta", "[]"], 2)]
#[case::token_that_never_holds(&["token", "new", "--user", "42", "--secret", SECRET, "--ttl-secs", "0"], 2)]
#[case::token_by_a_key_that_is_nowhere(&["token", "new", "--user", "42", "--private-key", "/nowhere"], 1)]
#[case::token_by_a_key_that_is_none(&["token", "new", "--user", "42", "--private-key", "/dev/null"], 1)]
#[case::token_by_a_nameless_secret(&["token", "new", "--user", "42", "--secret", SECRET, "--kid", "a"], 2)]
#[case::token_by_two_keys(&["token", "new", "--user", "42", "--secret", SECRET, "--private-key", "x"], 2)]
#[case::token_that_lives_too_long(&["token", "new", "--user", "42", "--secret", SECRET, "--ttl-secs", "86401"], 1)]
#[case::check_by_keys_that_are_nowhere(&["token", "check", "x", "--jwks", "/nowhere"], 1)]
#[case::check_by_nothing(&["token", "check", "x"], 2)]
#[case::token_with_an_empty_role(&["token", "new", "--user", "42", "--secret", SECRET, "--role", ""], 1)]
fn exits_with(#[case] args: &[&str], #[case] code: i32) {
    let output = tidings(args, &[], "");
    assert_eq!(output.status.code(), Some(code), "{}{}", stdout(&output), stderr(&output));
    assert_eq!(output.stderr.is_empty(), code == 0, "{}", stderr(&output));
}

#[test]
fn makes_tokens_that_it_takes() {
    let token = token(&["--subscribe", "orders/*", "--publish", "chat/1", "--role", "admin"]);
    let output = tidings(&["token", "check"], &[("TIDINGS_TOKEN_SECRET", SECRET)], &token);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(answer["accepted"], true);
    assert_eq!(answer["claims"]["sub"], "42");
    assert_eq!(answer["claims"]["subscribe"][0], "orders/*");
    assert_eq!(answer["claims"]["publish"][0], "chat/1");
    assert_eq!(answer["claims"]["role"], "admin");
    let lifetime = |claim: &str| answer["claims"][claim].as_u64().unwrap();
    assert_eq!(lifetime("exp") - lifetime("iat"), 300);
}

#[test]
fn refuses_a_token_of_another_secret_and_says_why() {
    let token = token(&[]);
    let args = ["token", "check", token.trim(), "--secret", "another"];
    let output = tidings(&args, &[], "");
    assert_eq!(output.status.code(), Some(1));
    let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(answer["accepted"], false);
    assert!(answer["reason"].as_str().unwrap().contains("signature"), "{answer}");
    assert!(stderr(&output).contains("refused: the token's signature"), "{}", stderr(&output));
}

#[test]
fn takes_the_secret_of_a_token_from_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidings.toml");
    std::fs::write(&path, format!("[tokens]\nsecret = \"{SECRET}\"\naudience = \"shop\"")).unwrap();
    let path = path.to_str().unwrap();
    let output = tidings(&["token", "new", "--user", "42", "--config", path], &[], "");
    let token = stdout(&output);
    let check = |environment: &[(&str, &str)]| {
        tidings(&["token", "check", "-"], environment, &token).status.code()
    };
    assert_eq!(check(&[("TIDINGS_CONFIG", path)]), Some(0));
    // Another audience.
    assert_eq!(check(&[("TIDINGS_TOKEN_SECRET", SECRET)]), Some(1));
}

#[test]
fn makes_tokens_with_a_private_key_that_the_public_one_takes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let pem = pair.serialize_pem();
    std::fs::write(path("key.pem"), &pem).unwrap();
    let key = jsonwebtoken::EncodingKey::from_ec_pem(pem.as_bytes()).unwrap();
    let mut jwk =
        jsonwebtoken::jwk::Jwk::from_encoding_key(&key, jsonwebtoken::Algorithm::ES256).unwrap();
    jwk.common.key_id = Some("a".to_owned());
    std::fs::write(path("jwks.json"), serde_json::json!({ "keys": [jwk] }).to_string()).unwrap();

    let issuer = [("TIDINGS_TOKENS__ISSUER", "https://login.example.com")];
    let key = path("key.pem");
    let new = ["token", "new", "--user", "42", "--private-key", &key, "--kid", "a"];
    let output = tidings(&new, &issuer, "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let token = stdout(&output);
    let jwks = path("jwks.json");
    let check = |issuer: &[(&str, &str)]| {
        let output = tidings(&["token", "check", "-", "--jwks", &jwks], issuer, &token);
        let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
        (output.status.code(), answer["claims"]["iss"].clone())
    };
    assert_eq!(check(&issuer), (Some(0), "https://login.example.com".into()));
    assert_eq!(check(&[("TIDINGS_TOKENS__ISSUER", "https://elsewhere")]).0, Some(1));
    let by_secret = tidings(&["token", "check", "-", "--secret", SECRET], &issuer, &token);
    assert_eq!(by_secret.status.code(), Some(1));
}

#[test]
fn says_that_a_configuration_is_fine() {
    let environment = [("TIDINGS_TOKEN_SECRET", SECRET), ("TIDINGS_API_KEY", API_KEY)];
    let output = tidings(&["config", "check"], &environment, "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "the configuration is fine\n");
}

#[test]
fn says_everything_that_is_wrong_with_a_configuration() {
    let environment = [("TIDINGS_TOKEN_SECRET", "canary"), ("TIDINGS_LISTN", "127.0.0.1:1")];
    let output = tidings(&["config", "check"], &environment, "");
    assert_eq!(output.status.code(), Some(78));
    let complaints = stderr(&output);
    for part in ["3 problems", "nearest is TIDINGS_LISTEN", "6 bytes long", "api_key is missing"] {
        assert!(complaints.contains(part), "{part} is not in: {complaints}");
    }
    assert!(output.stdout.is_empty() && !complaints.contains("canary"), "{complaints}");
}

#[test]
fn prints_a_default_configuration_that_changes_nothing() {
    let document = stdout(&tidings(&["config", "default"], &[], ""));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidings.toml");
    std::fs::write(&path, document).unwrap();
    let args = ["config", "check", "--dev", "--config", path.to_str().unwrap()];
    let output = tidings(&args, &[], "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn prints_a_json_schema() {
    let output = tidings(&["config", "schema"], &[], "");
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["properties"]["event_bytes_max"]["default"], 65536);
}

#[rstest]
#[case("bash")]
#[case("zsh")]
#[case("fish")]
#[case("elvish")]
#[case("powershell")]
fn completes_for(#[case] shell: &str) {
    let output = tidings(&["completions", shell], &[], "");
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("completions"));
}
