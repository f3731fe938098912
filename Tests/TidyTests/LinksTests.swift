import Testing

@Suite struct LinksTests {
    static let pages = [
        "README.md": "# Name\n\n## How to `run` it?\n\n[d](docs/design.md) [a](docs/a.md)\n",
        "docs/design.md": "# Design\n",
        "docs/a.md": "# A\n\n## Same\n\n## Same\n\n<a id=\"x\"></a>\n",
        "LICENSE": "words\n",
    ]

    static func findings(_ path: String, _ text: String) -> [Finding] {
        var texts = pages
        texts[path, default: ""] += text
        return Links.findings(Tree(texts))
    }

    static let samples: [Sample] = [
        .good("docs/a.md", "[l](../LICENSE) [r](../README.md#how-to-run-it) [f](../docs)\n"),
        .good("docs/a.md", "[s](#same) [s](#same-1) [x](#x) [d](design.md 'b') [r](/LICENSE)\n"),
        .good("docs/a.md", "`[a](b)` <https://a.b/c> [m](mailto:a@b.c) [w](https://a.b#c)\n"),
        .good("docs/a.md", "```\n[a](b)\n```\n"),
        .bad("docs/a.md", "\n[l](LICENSE)\n", 9, "there is no file `LICENSE`"),
        .bad("docs/a.md", "![p](p.png)\n", 8, "a dead link"),
        .bad("docs/a.md", "[p]: p.md\n", 8, "a dead link"),
        .bad("docs/a.md", "<img width=\"9\" src=\"p.svg\">\n", 8, "a dead link"),
        .bad("docs/a.md", "[o](../../o.md)\n", 8, "a dead link"),
        .bad("docs/a.md", "[s](#same-2)\n", 8, "`docs/a.md` has no heading for `#same-2`"),
        .bad("docs/a.md", "[r](../README.md#run)\n", 8, "`README.md` has no heading"),
        .bad("docs/b.md", "# B\n", 1, "link it from README.md or docs/design.md"),
        .bad("docs/b.svg", "<svg/>\n", 1, "a file that no page links"),
    ]

    @Test("every link leads somewhere and every page is reached", arguments: samples)
    func sample(_ sample: Sample) {
        Sample.expect(Self.findings(sample.path, sample.text), sample.found)
    }

    @Test(
        "a heading has the anchor that GitHub gives it",
        arguments: [
            ("The jail", "the-jail"), ("`alcove run`, in short", "alcove-run-in-short"),
            ("What it is & for whom?", "what-it-is--for-whom"), ("A [b](c.md) d", "a-b-d"),
            ("Größe 2.0 a_b-c", "größe-20-a_b-c"),
        ])
    func slug(_ sample: (heading: String, anchor: String)) {
        #expect(MarkdownPage.slug(sample.heading) == sample.anchor)
    }
}

@Suite struct DocumentedPathsTests {
    static let samples: [Sample] = [
        .good("a.md", "`scripts/test --filter x`, `scripts/`, `Sources/A/A.swift:12`\n"),
        .good(
            "a.md", "`Tests/<Target>Tests`, `docs/*.md`, `scripts/…`, `build/x`, `a scripts/b`\n"),
        .good("a.md", "```\n$ scripts/test\n./scripts/test x\n```\n"),
        .bad("a.md", "a\n`scripts/tset`\n", 2, "there is no `scripts/tset`"),
        .bad("a.md", "`Sources/B/`\n", 1, "there is no `Sources/B`"),
        .bad("a.md", "```\nscripts/test\nscripts/gone --all\n```\n", 3, "no `scripts/gone`"),
    ]

    @Test("what the docs call a file is one", arguments: samples)
    func sample(_ sample: Sample) {
        let tree = Tree(["scripts/test": "", "Sources/A/A.swift": "", sample.path: sample.text])
        Sample.expect(DocumentedPaths.findings(tree), sample.found)
    }
}
