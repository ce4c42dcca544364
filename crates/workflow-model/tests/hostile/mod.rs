//! Files under 1 MiB that try to cost much time or memory, or to break a reader.

/// Just under the size that a hostile file may have: 1 MiB; half of it for code without optimisation.
const SIZE: usize = (1 << if cfg!(debug_assertions) { 19 } else { 20 }) - 200;

/// A file, and what becomes of it.
#[derive(Debug)]
pub(crate) struct Hostile {
    /// What it tries.
    pub(crate) what: &'static str,
    /// The file.
    pub(crate) text: Vec<u8>,
    /// Whether it is a workflow all the same.
    pub(crate) accepted: bool,
}

/// All of them.
pub(crate) fn files() -> impl Iterator<Item = Hostile> {
    let texts = [nesting, repetition, scalars, many, graphs, json].into_iter().flat_map(|cases| cases());
    let texts = texts.map(|(what, text, accepted)| Hostile { what, text: text.into_bytes(), accepted });
    let bytes = [("zeros", 0), ("no UTF-8", 0xff)];
    texts.chain(bytes.into_iter().map(|(what, byte)| Hostile { what, text: vec![byte; SIZE], accepted: false }))
}

/// Unknown keys of a flow mapping.
fn keys(size: usize) -> String {
    (0..size / 12).map(|key| format!("k{key}: 1, ")).collect()
}

type Case = (&'static str, String, bool);

/// The part as often as it fits.
fn fill(part: &str) -> String {
    part.repeat(SIZE / part.len())
}

/// Lines made from their numbers, as many as fit.
fn lines(make: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for line in 0.. {
        let next = make(line);
        if text.len() + next.len() >= SIZE {
            break;
        }
        text += &next;
    }
    text
}

/// Deep.
fn nesting() -> Vec<Case> {
    let staircase: String = (0..1400).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    vec![
        ("[ x 1M", "[".repeat(SIZE), false),
        ("{ x 1M", "{".repeat(SIZE), false),
        ("nested JSON", format!("{}{}", "[".repeat(SIZE / 2), "]".repeat(SIZE / 2)), false),
        ("nested JSON mappings", format!("{}1{}", "{\"a\":".repeat(150_000), "}".repeat(150_000)), false),
        ("{a: x 100k", "{a: ".repeat(100_000), false),
        ("[{ x 100k", "[{".repeat(100_000), false),
        ("- - - x 100k", format!("{}x", "- ".repeat(100_000)), false),
        ("? ? ? x 100k", format!("{}x", "? ".repeat(100_000)), false),
        (": : : x 100k", format!("{}x", ": ".repeat(100_000)), false),
        ("indented mappings", staircase, false),
    ]
}

/// Small, but large once written out.
fn repetition() -> Vec<Case> {
    let billion: String = lines(|line| match line {
        0 => "- &a0 {name: x}\n".into(),
        1..20 => format!("- &a{line} [{}]\n", vec![format!("*a{}", line - 1); 10].join(", ")),
        _ => String::from("# padding to the size\n"),
    });
    let quadratic = format!("- &a {}\n{}", "x".repeat(500_000), "- *a\n".repeat(100_000));
    let merges: String = lines(|line| match line {
        0 => "- &m0 {name: a, params: {command: x}}\n".into(),
        _ => format!("- &m{line} {{<<: [*m{0}, *m{0}], name: t{line}}}\n", line - 1),
    });
    vec![
        ("billion laughs", billion, false),
        ("quadratic blow-up", quadratic, false),
        ("merges of merges", merges, false),
        ("aliases in themselves", "- &a [*a, *a]\n".repeat(10_000), false),
        ("unknown aliases", fill("- *x\n"), false),
        ("a huge anchor", format!("- &{} x", "a".repeat(SIZE)), false),
        ("many anchors", lines(|line| format!("- &a{line} {{name: n{line}}}\n")), true),
    ]
}

/// Long values.
fn scalars() -> Vec<Case> {
    vec![
        ("a huge scalar", format!("- name: a\n  description: {}", "x".repeat(SIZE)), true),
        ("a huge name", format!("- name: {}", "x".repeat(SIZE)), false),
        (
            "problems far into a line",
            format!("- {{name: a, description: {}, {}}}", "é".repeat(SIZE / 3), keys(SIZE / 4)),
            false,
        ),
        (
            "problems of a task with a huge name",
            format!("- {{name: {}, {}}}", "x".repeat(SIZE / 2), keys(SIZE / 4)),
            false,
        ),
        (
            "problems of tasks with huge names",
            format!("- {{name: {0}, depends: [{0}]}}\n- {{name: {0}}}", "x".repeat(SIZE / 4)),
            false,
        ),
        ("a huge quoted scalar", format!("- name: \"{}\"", fill("\\n")), false),
        ("a huge block scalar", format!("- name: a\n  description: |\n{}", fill("    x\n")), true),
        ("a scalar over many lines", format!("- name: a\n  description:\n{}", fill("    x\n")), true),
        ("blank lines", format!("- name: a\n{}", fill("\n")), true),
        ("a huge comment", format!("- name: a # {}", fill("x")), true),
        ("many comments", format!("{}\n- name: a", fill("#\n")), true),
        ("double quotes", fill("\""), false),
        ("single quotes", fill("'"), false),
        ("an open double quote", format!("- name: \"{}", fill("x ")), false),
        ("an open quote over lines", format!("- name: \"{}", fill("x\n  ")), false),
        ("backslashes", format!("- name: \"{}", fill("\\")), false),
        ("tabs", fill("\t"), false),
        ("tabs after dashes", fill("-\t"), false),
        ("spaces", fill(" "), false),
        ("carriage returns", fill("\r"), false),
        ("line separators", format!("- name: a\n  description: \"{}\"", fill("\u{2028}")), true),
        ("combining characters", format!("- name: a{}", fill("\u{301}")), false),
        ("plain words", fill("a "), false),
    ]
}

/// Many small things.
fn many() -> Vec<Case> {
    vec![
        ("many keys", format!("- name: a\n{}", lines(|line| format!("  k{line}: 1\n"))), false),
        (
            "many keys of env",
            format!("- name: a\n  params:\n    env:\n{}", lines(|l| format!("      K{l}: 1\n"))),
            true,
        ),
        ("one key many times", format!("- name: a\n{}", fill("  k: 1\n")), false),
        ("many documents", fill("---\n"), false),
        ("many empty items", fill("-\n"), false),
        ("many nulls", format!("[{}1]", fill("~,")), false),
        ("many numbers", format!("[{}1]", fill("1,")), false),
        ("many empty lists", format!("[{}1]", fill("[],")), false),
        ("commas", format!("[{}", fill(",")), false),
        ("many colons", fill(":"), false),
        ("colons and blanks", fill(": "), false),
        ("question marks", fill("? "), false),
        ("many question marks in lines", fill("?\n"), false),
        ("percent signs", fill("%"), false),
        ("many directives", fill("%A b\n"), false),
        ("many tag directives", lines(|line| format!("%TAG !a{line}! tag:x,2000:\n")), false),
        ("many tags", fill("- !x y\n"), false),
        ("bangs", fill("!"), false),
        ("ampersands", fill("& "), false),
        ("stars", fill("*"), false),
        ("pipes", fill("|\n"), false),
        ("pairs in a flow mapping", format!("{{{}}}", lines(|line| format!("k{line}: 1,"))), false),
        ("keys without values", format!("{{{}}}", lines(|line| format!("k{line},"))), false),
        ("long keys", format!("{}: 1", "k".repeat(SIZE)), false),
    ]
}

/// Many tasks and dependencies.
fn graphs() -> Vec<Case> {
    vec![
        ("unknown dependencies", lines(|l| format!("- {{name: task-{l}, depends: [tusk-{l}x, t{l}y]}}\n")), false),
        ("duplicate names", fill("- {name: a}\n"), false),
        ("a chain", lines(|l| format!("- {{name: t{l}, depends: [t{}]}}\n", l + 1)), false),
        (
            "a long cycle",
            format!(
                "{}- {{name: t0, depends: [t1]}}\n",
                lines(|l| { format!("- {{name: t{}, depends: [t{}]}}\n", l + 1, if l == 20_000 { 0 } else { l + 2 }) })
                    .chars()
                    .take(SIZE)
                    .collect::<String>()
            ),
            false,
        ),
        ("many cycles", lines(|l| format!("- {{name: t{l}, depends: [t{}]}}\n", l ^ 1)), false),
        ("a dependency many times", format!("- name: a\n- name: b\n  depends: [{}a]", fill("a,")), true),
        ("unicode twins", lines(|l| format!("- name: \u{e9}{l}\n- name: e\u{301}{l}\n")), true),
    ]
}

/// As JSON.
fn json() -> Vec<Case> {
    vec![
        ("JSON strings", format!("[{}\"\"]", fill("\"\\u0000\",")), false),
        ("JSON escapes", format!("[{{\"name\": \"{}\"}}]", fill("\\u0041")), false),
        ("a long JSON number", format!("[{}]", "1".repeat(SIZE)), false),
        ("a JSON number with a huge exponent", format!("[1e{}]", "9".repeat(SIZE)), false),
        ("JSON mapping of lists", format!("[{}{{}}]", fill("{\"a\":[{}]},")), false),
    ]
}
