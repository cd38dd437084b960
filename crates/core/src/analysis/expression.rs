//! Conditions of a metric: CEL over `result`.
//!
//! Argo Rollouts writes them in another language (expr). What is the same in both works, with Argo's functions besides; what
//! is not is refused with the CEL to write instead. Numbers are calculated with as in Argo Rollouts: see `calculate_in_fractions`.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::{Context, Env, ExecutionError, Value as Cel};
use greenlight_api::AnalysisPhase;
use greenlight_api::analysis::Metric;
use serde_json::Value;

/// The most bytes that a condition may have.
const LONGEST: usize = 4096;
/// The most bytes that a plain condition has, see [`is_plain`].
const LONGEST_PLAIN: usize = 512;
/// How often a plain condition looks at the result at most.
const MOST_LOOKS: usize = 8;
/// How deep the brackets of a plain condition are at most.
const DEEPEST_PLAIN: usize = 5;
/// How many operators a plain condition has at most of those that nest: `!`, `-` and `?`.
const MOST_NESTING: usize = 16;
/// Functions that look at each character or item of the result once.
const PLAIN_FUNCTIONS: [&str; 14] = [
    "len",
    "isNaN",
    "isInf",
    "isNil",
    "asFloat",
    "asInt",
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "has",
    "int",
    "double",
    "string",
];

/// Functions of expr that are none of CEL's. Without this list nobody would hear of it before the first measurement, after the
/// promotion maybe.
const ONLY_IN_EXPR: [&str; 11] =
    ["abs", "any", "ceil", "count", "floor", "max", "mean", "median", "min", "round", "sum"];
/// CEL's function that makes a fraction of a number.
const TO_FRACTION: &str = "double";
/// CEL's function that makes a whole number of a fraction.
const TO_WHOLE: &str = "int";

/// Whether this text is a condition; if not, what to write instead. Of one that is not plain only what can be told without parsing it:
/// a parser can be made to work for ever.
pub fn check(condition: &str) -> Result<(), String> {
    bounded(condition)?;
    if is_plain(condition) { parse(condition).map(drop) } else { Ok(()) }
}

/// A plain condition costs no more than a few looks at the result, and its parser next to nothing: no loops over the result, no regular
/// expressions, and little nesting. Every other one is evaluated where it can be stopped.
pub fn is_plain(condition: &str) -> bool {
    // Whatever its text looks like, what is parsed is what runs. One that is none costs nothing more.
    is_cheap_to_parse(condition) && parse(condition).map_or(true, |expression| !loops(&expression))
}

/// Whether anything in an expression is done for each item of a list.
fn loops(expression: &IdedExpr) -> bool {
    match &expression.expr {
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => false,
        Expr::Select(select) => loops(&select.operand),
        Expr::List(list) => list.elements.iter().any(loops),
        Expr::Call(call) => {
            call.func_name == operators::IN || call.target.iter().any(|it| loops(it)) || call.args.iter().any(loops)
        }
        Expr::Comprehension(_) | Expr::Map(_) | Expr::Struct(_) => true,
    }
}

fn is_cheap_to_parse(condition: &str) -> bool {
    // What CEL takes for a text, a comment or a name must be what it looks like below.
    if ["\"\"\"", "'''", "//", "`"].iter().any(|other| condition.contains(other)) {
        return false;
    }
    let (mut depth, mut nesting, mut quote, mut word, mut gap) = (0_usize, 0_usize, None, String::new(), false);
    if condition.len() > LONGEST_PLAIN || condition.matches("result").count() > MOST_LOOKS {
        return false;
    }
    for letter in condition.chars() {
        match quote {
            Some(open) => {
                // An escaped quote would end the text elsewhere than it seems to.
                if letter == '\\' {
                    return false;
                }
                quote = Some(open).filter(|open| *open != letter);
                continue;
            }
            None if letter == '"' || letter == '\'' => quote = Some(letter),
            None => {}
        }
        match letter {
            '(' if !word.is_empty() && !PLAIN_FUNCTIONS.contains(&word.as_str()) => return false,
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '!' | '-' | '?' => nesting += 1,
            '{' | '}' | '\\' => return false,
            _ => {}
        }
        if depth > DEEPEST_PLAIN || nesting > MOST_NESTING {
            return false;
        }
        if letter.is_alphanumeric() || letter == '_' {
            if std::mem::take(&mut gap) {
                word.clear();
            }
            word.push(letter);
            continue;
        }
        // It compares with each item, and its result again with each.
        if word == "in" {
            return false;
        }
        // Between a function and its bracket there may be a space.
        gap = letter.is_whitespace();
        if !gap {
            word.clear();
        }
    }
    quote.is_none() && word != "in"
}

fn bounded(condition: &str) -> Result<(), String> {
    if condition.len() > LONGEST {
        return Err(format!("a condition has at most {LONGEST} characters: measure less at a time"));
    }
    match advice(condition) {
        Some(advice) => Err(format!("the condition {condition:?} is not CEL: {advice}")),
        None => Ok(()),
    }
}

/// The outcome of a measurement with this result, as its metric's conditions have it.
///
/// # Errors
/// A condition is not CEL, or cannot be evaluated on this result.
pub fn assess(metric: &Metric, result: &Value) -> Result<AnalysisPhase, String> {
    let holds = |condition: &Option<String>| condition.as_ref().map(|text| evaluate(text, result)).transpose();
    Ok(match (holds(&metric.success_condition)?, holds(&metric.failure_condition)?) {
        (_, Some(true)) | (Some(false), None) => AnalysisPhase::Failed,
        (Some(true), _) | (None, _) => AnalysisPhase::Successful,
        (Some(false), Some(false)) => AnalysisPhase::Inconclusive,
    })
}

/// Evaluates one condition.
///
/// # Errors
/// It is not CEL, or cannot be evaluated on this result.
pub fn evaluate(condition: &str, result: &Value) -> Result<bool, String> {
    let mut expression = parse(condition)?;
    calculate_in_fractions(&mut expression);
    let mut context = Context::default();
    let added = [
        context.add_function("len", length),
        context.add_function("isNaN", |value: Cel| number("isNaN", &value).map(f64::is_nan)),
        context.add_function("isInf", |value: Cel| number("isInf", &value).map(f64::is_infinite)),
        context.add_function("isNil", |value: Cel| matches!(value, Cel::Null)),
        context.add_function("asFloat", |value: Cel| number("asFloat", &value)),
        context.add_function("asInt", |value: Cel| number("asInt", &value).and_then(whole)),
    ];
    if added.iter().any(Result::is_err) {
        return Err("the functions of conditions could not be set up".to_owned());
    }
    let value = cel::to_value(WithNaN(result)).map_err(|error| error.to_string())?;
    context.add_variable_from_value("result", value);
    match Cel::resolve(&expression, &context) {
        Ok(Cel::Bool(holds)) => Ok(holds),
        Ok(_) => {
            Err(format!("the condition {condition:?} is not true or false: compare something, as in result[0] >= 0.95"))
        }
        Err(error) => Err(format!("the condition {condition:?} does not fit the result {result}: {error}")),
    }
}

/// What has no length is not of length 0: `len(result) == 0 || result[0] < 5` would be good of any number.
fn length(value: Cel) -> Result<i64, ExecutionError> {
    let length = match value {
        Cel::List(items) => items.len(),
        Cel::Map(map) => map.map.len(),
        Cel::String(text) => text.chars().count(),
        _ => return Err(ExecutionError::function_error("len", "it takes a list, a map or a text")),
    };
    Ok(i64::try_from(length).unwrap_or(i64::MAX))
}

/// The number that this is, or that stands in this text. Anything else is not 0, which might be good.
fn number(function: &str, value: &Cel) -> Result<f64, ExecutionError> {
    let number = match value {
        Cel::Int(number) => Some(*number as f64),
        Cel::UInt(number) => Some(*number as f64),
        Cel::Float(number) => Some(*number),
        Cel::String(text) => text.parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| ExecutionError::function_error(function, "it takes a number, or a text that is one"))
}

fn whole(number: f64) -> Result<i64, ExecutionError> {
    if number.is_finite() {
        Ok(number as i64)
    } else {
        Err(ExecutionError::function_error("asInt", "it takes a finite number"))
    }
}

/// CEL rounds the quotient of whole numbers down, so that 9 errors of 100 requests would be none, and multiplies no fraction by a whole
/// number. To Argo Rollouts each number is a fraction, so it is one here wherever something is divided or multiplied, and in what is added
/// to that or taken from it. Where only a whole number has a meaning, as the place of an item has, what is behind the point goes.
fn calculate_in_fractions(expression: &mut IdedExpr) {
    match &mut expression.expr {
        Expr::Call(call) => {
            call.target.iter_mut().for_each(|target| calculate_in_fractions(target));
            call.args.iter_mut().for_each(calculate_in_fractions);
            let is = |names: [&str; 2]| names.contains(&call.func_name.as_str());
            let is_sum = is([operators::ADD, operators::SUBSTRACT]);
            if is([operators::DIVIDE, operators::MULTIPLY]) || is_sum && call.args.iter().any(is_fraction) {
                call.args.iter_mut().for_each(|number| convert(number, TO_FRACTION));
            } else if is([operators::INDEX, operators::MODULO]) {
                call.args.iter_mut().filter(|number| is_fraction(number)).for_each(|number| convert(number, TO_WHOLE));
            }
        }
        Expr::Select(select) => calculate_in_fractions(&mut select.operand),
        Expr::List(list) => list.elements.iter_mut().for_each(calculate_in_fractions),
        Expr::Comprehension(comprehension) => {
            calculate_in_fractions(&mut comprehension.iter_range);
            calculate_in_fractions(&mut comprehension.accu_init);
            calculate_in_fractions(&mut comprehension.loop_cond);
            calculate_in_fractions(&mut comprehension.loop_step);
            calculate_in_fractions(&mut comprehension.result);
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {}
    }
}

/// Whether an expression is a fraction, whatever the result is.
fn is_fraction(expression: &IdedExpr) -> bool {
    const OF_FRACTIONS: [&str; 5] =
        [operators::DIVIDE, operators::MULTIPLY, operators::ADD, operators::SUBSTRACT, operators::NEGATE];
    match &expression.expr {
        Expr::Literal(LiteralValue::Double(_)) => true,
        Expr::Call(call) if OF_FRACTIONS.contains(&call.func_name.as_str()) => call.args.iter().any(is_fraction),
        Expr::Call(call) => [TO_FRACTION, "asFloat"].contains(&call.func_name.as_str()),
        _ => false,
    }
}

fn convert(expression: &mut IdedExpr, function: &str) {
    let number = std::mem::take(expression);
    expression.expr = Expr::Call(CallExpr { func_name: function.to_owned(), target: None, args: vec![number] });
}

/// JSON has no number for NaN and infinity, which Prometheus answers with; they are written as these words.
struct WithNaN<'a>(&'a Value);

impl serde::Serialize for WithNaN<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::String(text) if text == "NaN" => serializer.serialize_f64(f64::NAN),
            Value::String(text) if text == "+Inf" => serializer.serialize_f64(f64::INFINITY),
            Value::String(text) if text == "-Inf" => serializer.serialize_f64(f64::NEG_INFINITY),
            Value::Array(items) => serializer.collect_seq(items.iter().map(WithNaN)),
            Value::Object(map) => serializer.collect_map(map.iter().map(|(key, value)| (key, WithNaN(value)))),
            // A whole number stays one, of the type of those in a condition: CEL compares numbers of different types by their value.
            Value::Number(number) => match number.as_i64() {
                Some(whole) => serializer.serialize_i64(whole),
                None => number.serialize(serializer),
            },
            other => other.serialize(serializer),
        }
    }
}

fn parse(condition: &str) -> Result<IdedExpr, String> {
    bounded(condition)?;
    Env::stdlib().parser().parse(condition).map_err(|error| {
        let first = error.to_string().lines().next().unwrap_or_default().to_owned();
        format!("the condition {condition:?} is not CEL: {first}")
    })
}

/// What expr has and CEL has not, with what to write instead.
fn advice(condition: &str) -> Option<String> {
    // Words within a text are not the language's.
    let code: String =
        condition.split(['"', '\'']).enumerate().map(|(n, part)| if n % 2 == 0 { part } else { " _ " }).collect();
    let word = |word: &str| code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|token| token == word);
    for (expr, cel) in [("and", "&&"), ("or", "||"), ("not", "!"), ("nil", "null")] {
        if word(expr) {
            return Some(format!("write {cel} in the place of {expr}"));
        }
    }
    if code.contains('#') {
        return Some(
            "write result.all(x, x > 1) in the place of all(result, {# > 1}); likewise exists and filter".into(),
        );
    }
    if code.contains("**") || code.contains("??") || code.contains("|>") || code.contains("..") {
        return Some("**, ??, |> and .. are not CEL".into());
    }
    if word("default") {
        return Some("write isNil(result) ? 0 : result in the place of default(result, 0)".into());
    }
    let called = |name: &str| {
        code.match_indices('(').any(|(at, _)| {
            let before = code[..at].trim_end().strip_suffix(name);
            before.is_some_and(|before| !before.ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        })
    };
    if called("float") {
        return Some("write double(result) in the place of float(result)".into());
    }
    if let Some(name) = ONLY_IN_EXPR.iter().find(|name| called(name)) {
        return Some(format!(
            "there is no function {name}: let the query calculate it, or write result.all(x, x > 1) or result.exists(x, x > 1)"
        ));
    }
    if word("contains") && !code.contains(".contains(") {
        return Some("write result.contains(\"ok\") in the place of result contains \"ok\"".into());
    }
    None
}
