//! Words of commands that people are told, and may copy.

/// A word of a command as a shell takes it for one. Whoever copies the command may have a name in it that somebody else has chosen.
pub fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:@%+=,".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_a_command_is_one_word_whatever_is_in_it() {
        assert_eq!(quoted("arn:aws:eks:eu-1:1:cluster/prod"), "arn:aws:eks:eu-1:1:cluster/prod");
        assert_eq!((quoted(""), quoted("a b"), quoted("$(id)")), ("''".into(), "'a b'".into(), "'$(id)'".into()));
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }
}
