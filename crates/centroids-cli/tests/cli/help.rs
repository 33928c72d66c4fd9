use crate::catalogue::{centroids, succeed};

#[test]
fn every_command_has_a_manual() {
    let commands: [&[&str]; 10] = [
        &[],
        &["train"],
        &["embed"],
        &["search"],
        &["evaluate"],
        &["data"],
        &["data", "inspect"],
        &["data", "synth"],
        &["demo"],
        &["completions"],
    ];
    for command in commands {
        let output = succeed(command.iter().chain(&["--help"]));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("Usage: centroids") && text.len() > 300, "{command:?}\n{text}");
    }
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = succeed(["completions", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("evaluate") && script.contains("camera-pattern"), "{shell}");
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    for arguments in [&["train", "--nonsense"][..], &["nonsense"], &["evaluate"], &["search"]] {
        centroids(arguments).assert().code(2);
    }
}
