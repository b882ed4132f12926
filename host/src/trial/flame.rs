//! Where fuel goes, as a table and as a flame graph: a picture in which each function is as wide as the fuel that it
//! and what it calls use, and stands on the function that called it.

use crate::engine::Profile;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const WIDTH: f64 = 1_200.0;
const ROW: usize = 18;
/// Boxes narrower than this tell nothing.
const NARROWEST: f64 = 0.4;
/// Width of one letter.
const LETTER: f64 = 6.6;
/// Rows of a picture.
const DEPTH_MAX: usize = 128;

/// A function's part of the fuel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The function.
    pub function: String,
    /// How often it was called.
    pub calls: u64,
    /// Fuel that it used itself.
    pub own: u64,
}

/// The functions by the fuel that they used themselves, most first.
pub fn shares(profile: &Profile) -> Vec<Share> {
    let mut sums: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for node in &profile.nodes {
        let sum = sums.entry(&node.function).or_default();
        *sum = (sum.0 + node.calls, sum.1 + node.fuel);
    }
    let share =
        |(function, (calls, own)): (&str, (u64, u64))| Share { function: function.into(), calls, own };
    let mut shares: Vec<Share> = sums.into_iter().map(share).collect();
    shares.sort_by(|a, b| b.own.cmp(&a.own).then_with(|| a.function.cmp(&b.function)));
    shares
}

/// An SVG picture of the profile, without scripts or anything from elsewhere.
pub fn flame_graph(title: &str, profile: &Profile) -> String {
    let count = profile.nodes.len();
    let mut totals: Vec<u64> = profile.nodes.iter().map(|node| node.fuel).collect();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); count];
    // A node stands behind the node that called it.
    for at in (1..count).rev() {
        let parent = profile.nodes[at].parent;
        totals[parent] += totals[at];
        children[parent].push(at);
    }
    let all = totals.first().copied().unwrap_or_default().max(1);
    let mut boxes = Vec::new();
    let mut deepest = 0;
    let mut open = vec![(0usize, 0usize, 0f64)];
    while let Some((at, depth, x)) = open.pop() {
        let width = WIDTH * totals[at] as f64 / all as f64;
        if width < NARROWEST || depth >= DEPTH_MAX || at >= count {
            continue;
        }
        deepest = deepest.max(depth);
        boxes.push((at, depth, x, width));
        let mut next = x;
        children[at].sort_by_key(|child| core::cmp::Reverse(totals[*child]));
        for child in &children[at] {
            open.push((*child, depth + 1, next));
            next += WIDTH * totals[*child] as f64 / all as f64;
        }
    }
    let height = (deepest + 3) * ROW;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"monospace\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"4\" y=\"13\">{}: {} fuel</text>\n",
        escaped(title),
        profile.fuel
    );
    for (at, depth, x, width) in boxes {
        let node = &profile.nodes[at];
        let y = height - (depth + 1) * ROW;
        let percent = 100.0 * totals[at] as f64 / all as f64;
        let letters = (width / LETTER) as usize;
        let label: String = node.function.chars().take(letters).collect();
        let hue = 20 + blake3::hash(node.function.as_bytes()).as_bytes()[0] % 40;
        let _infallible = writeln!(
            svg,
            "<g><title>{}: {} fuel ({percent:.1} %), {} of it itself, {} calls</title><rect x=\"{x:.2}\" y=\"{y}\" \
             width=\"{width:.2}\" height=\"{}\" fill=\"hsl({hue},85%,65%)\" stroke=\"#fff\"/><text x=\"{:.2}\" \
             y=\"{}\">{}</text></g>",
            escaped(&node.function),
            totals[at],
            node.fuel,
            node.calls,
            ROW - 1,
            x + 2.0,
            y + 13,
            if letters < 3 { String::new() } else { escaped(&label) },
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// Text for XML.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Node;

    #[test]
    fn names_cannot_leave_their_place_in_the_picture() {
        let node = |function: &str, parent, fuel| Node { function: function.into(), parent, calls: 1, fuel };
        let nodes = vec![node("host", 0, 0), node("a<script>&\"'", 0, 60), node("b", 1, 40)];
        let profile = Profile { nodes, fuel: 100, unexplained: 0 };
        let svg = flame_graph("x</svg>", &profile);
        assert!(!svg.contains("<script>") && svg.contains("a&lt;script&gt;&amp;&quot;&#39;"));
        assert_eq!(svg.matches("</svg>").count(), 1);
        assert_eq!(svg.matches("<rect x=").count(), 3);
        let shares = shares(&profile);
        assert_eq!((shares[0].own, shares[1].own), (60, 40));
    }
}
