use clap::CommandFactory;

use super::*;

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(line.split_whitespace())
}

#[test]
fn the_command_line_is_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn help_teaches() {
    insta::assert_snapshot!("help", Arguments::command().term_width(100).render_long_help());
    let mut command = Arguments::command().term_width(100);
    command.build();
    for path in [
        "collector create",
        "fleet create",
        "fleet update",
        "access-key create",
        "context import",
        "relay watch",
        "enrollment-token create",
    ] {
        let mut verb = &mut command;
        for name in path.split(' ') {
            verb = verb.find_subcommand_mut(name).unwrap();
        }
        insta::assert_snapshot!(format!("help {path}").replace(' ', "_"), verb.render_help());
    }
}

#[test]
fn every_verb_has_examples() {
    let mut command = Arguments::command();
    command.build();
    for noun in command.get_subcommands() {
        for verb in noun.get_subcommands() {
            let examples = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            let line = format!("ekidenctl {} {}", noun.get_name(), verb.get_name());
            assert!(examples.contains(&line), "{line}: {examples:?}");
        }
    }
}

#[test]
fn every_example_is_a_valid_command() {
    let mut command = Arguments::command();
    command.build();
    let mut examples = vec![START.to_owned()];
    for noun in command.get_subcommands() {
        examples.extend(
            noun.get_subcommands().filter_map(|v| v.get_after_help()).map(ToString::to_string),
        );
    }
    let mut count = 0;
    for text in examples {
        let joined: Vec<_> = text.split("\\\n").map(str::trim).collect();
        for line in joined.join(" ").lines() {
            // What follows wide space is an explanation.
            let line = line.trim().split("    ").next().unwrap_or_default();
            let Some(start) = line.find("ekidenctl ") else { continue };
            let line = line[start..].split(['|', ')', '>', '<']).next().unwrap_or_default();
            for part in line.split("&&") {
                let words = words(part);
                if words.first().is_none_or(|word| word != "ekidenctl") || words.len() < 3 {
                    continue;
                }
                Arguments::try_parse_from(&words).unwrap_or_else(|e| panic!("{words:?}: {e}"));
                count += 1;
            }
        }
    }
    assert!(count > 40, "only {count} examples were found");
}

/// Splits as a shell does, as far as the examples need it.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (i, part) in line.split('\'').enumerate() {
        if i % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[test]
fn a_secret_is_never_an_argument() {
    for line in [
        "ekidenctl access-key create k --value secret",
        "ekidenctl access-key create k secret",
        "ekidenctl context set c --token secret",
        "ekidenctl tenant list --token secret",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    for line in [
        "ekidenctl",
        "ekidenctl tenant",
        "ekidenctl collector create us4",
        "ekidenctl collector update us4 --tls --no-tls",
        "ekidenctl fleet update f --no-discovery --ttl 5s",
        "ekidenctl fleet create f --listener agents",
        "ekidenctl tenant list --timeout 5",
        "ekidenctl tenant create a --request-id no-uuid",
        "ekidenctl api-token create --role root --display-name x",
    ] {
        let error = parse(line).unwrap_err();
        assert!(error.use_stderr(), "{line}");
    }
}

#[test]
fn global_options_may_stand_anywhere() {
    let arguments = parse("ekidenctl relay list -o json --tenant - --timeout 5s").unwrap();
    assert_eq!(arguments.global.output, Format::Json);
    assert_eq!(arguments.global.tenant.as_deref(), Some("-"));
    let arguments = parse("ekidenctl --tenant acme relays list").unwrap();
    assert_eq!(arguments.global.tenant.as_deref(), Some("acme"));
}
