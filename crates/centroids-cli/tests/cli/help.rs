use crate::catalogue::{centroids, succeed};

/// Every command, and what its manual must say: an example, or else what it is for.
const COMMANDS: [(&[&str], &str); 41] = [
    (&[], "Start with `centroids demo`"),
    (&["train"], "centroids train --resume runs/"),
    (&["embed"], "centroids embed --model runs/"),
    (&["search"], "centroids search --gallery gallery.safetensors"),
    (&["serve"], "centroids serve --store shop.gallery"),
    (&["index"], "centroids index create shop.gallery"),
    (&["index", "create"], "centroids index create shop.gallery --model runs/"),
    (&["index", "add"], "centroids index add shop.gallery products/"),
    (&["index", "import"], "centroids index import shop.gallery members.parquet"),
    (&["index", "remove"], "centroids index remove shop.gallery --class"),
    (&["index", "relabel"], "centroids index relabel shop.gallery --id"),
    (&["index", "merge"], "centroids index merge shop.gallery --class"),
    (&["index", "quarantine"], "centroids index quarantine shop.gallery"),
    (&["index", "release"], "count them again (release)"),
    (&["index", "list"], "centroids index list shop.gallery"),
    (&["index", "info"], "centroids index info shop.gallery"),
    (&["index", "verify"], "centroids index verify shop.gallery --repair"),
    (&["index", "export"], "centroids index export shop.gallery --out"),
    (&["index", "compact"], "centroids index compact shop.gallery"),
    (&["evaluate"], "centroids evaluate --run runs/"),
    (&["report"], "centroids report runs/"),
    (&["gallery"], "find what is wrong with it"),
    (&["gallery", "doctor"], "centroids gallery doctor gallery.safetensors"),
    (&["calibrate"], "centroids calibrate --query val_q"),
    (&["data"], "Look at a dataset, or make one"),
    (&["data", "inspect"], "centroids data inspect data/"),
    (&["data", "synth"], "centroids data synth data/"),
    (&["data", "prepare"], "centroids data prepare deepfashion data/"),
    (&["data", "prepare", "jpg"], "centroids data prepare jpg photos photos_jpg"),
    (&["data", "prepare", "street2shop"], "centroids data prepare street2shop data/"),
    (&["data", "prepare", "deepfashion"], "centroids data prepare deepfashion data/"),
    (&["export"], "Write a model in another program's format"),
    (&["export", "onnx"], "centroids export onnx --model runs/market"),
    (&["bench"], "Measure how fast this machine is"),
    (&["bench", "embed"], "centroids bench embed --model runs/market"),
    (&["weights"], "Look into a file of weights"),
    (&["weights", "inspect"], "centroids weights inspect market1501"),
    (&["weights", "convert"], "centroids weights convert runs/"),
    (&["bench", "train"], "centroids bench train --data data/market1501 --steps"),
    (&["demo"], "Make a catalogue, train on it, evaluate"),
    (&["completions"], "centroids completions bash"),
];

#[test]
fn every_command_has_a_manual() {
    for (command, part) in COMMANDS {
        let output = succeed(command.iter().chain(&["--help"]));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("Usage: centroids") && text.len() > 300, "{command:?}\n{text}");
        assert!(text.contains(part), "{part:?} is not in the manual of {command:?}:\n{text}");
    }
}

#[test]
fn no_command_is_missing_from_this_list() {
    let text = String::from_utf8(succeed(["--help"]).stdout).unwrap();
    let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = listed.take_while(|line| !line.is_empty()).filter_map(|line| {
        // Names are indented by two columns, their descriptions by more.
        let line = line.strip_prefix("  ").filter(|line| !line.starts_with(' '))?;
        line.split_whitespace().next()
    });
    let names: Vec<&str> = names.filter(|name| *name != "help").collect();
    assert!(names.len() >= 7, "{text}");
    for name in names {
        assert!(COMMANDS.iter().any(|(command, _)| command.first() == Some(&name)), "{name}");
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
    for (command, _) in COMMANDS {
        let output = centroids(command.iter().chain(&["--nonsense"])).assert().code(2);
        let text = String::from_utf8(output.get_output().stderr.clone()).unwrap();
        assert!(text.contains("--nonsense"), "{command:?}: {text}");
    }
    let wrong: [&[&str]; 8] = [
        &["nonsense"],
        &["evaluate"],
        &["search"],
        &["completions", "abacus"],
        &["evaluate", "--run", "r", "--unit", "all", "--preset", "paper"],
        &["evaluate", "--query", "q.safetensors"],
        &["train", "--resume", "r", "SEED", "1"],
        &["embed", "--model", "m", "--out", "o.npy", "in", "--batch-size", "0"],
    ];
    for arguments in wrong {
        centroids(arguments).assert().code(2);
    }
}
