import Testing

@Suite struct LayersTests {
    private static let rows = [
        ImportTable.Row("Low", .library), ImportTable.Row("Other", .library),
        ImportTable.Row("High", .program, ["Low", "Other"]),
    ]
    private static let table = "# Design\n\n| target | holds | may import |\n|---|---|---|\n"

    private static let samples: [Sample] = [
        .good("a.md", table + "| `Low`, `Other` | x | |\n| `High` | `y` | `Other`, `Low` |\n"),
        .bad(
            "a.md", table + "| `Low` | x | |\n| `High` | y | `Low`, `Other` |\n", 3,
            "a row for `Other` is missing"),
        .bad(
            "a.md", table + "| `Low`, `Other` | x | |\n| `High` | y | `Low` |\n", 6,
            "`High` may import: Low, Other"),
        .bad(
            "a.md",
            table + "| `Low` | x | `High` |\n| `Other` | |  |\n| `High` | y | `Low`, `Other` |\n",
            5, "`Low` may import: nothing"),
        .bad(
            "a.md",
            table + "| `Low`, `Other`, `Third` | x | |\n| `High` | y | `Low`, `Other` |\n", 5,
            "`Third` has no row"),
        .bad("a.md", "# Design\n", 1, "there is no table"),
    ]

    @Test("the design's table of layers is that of the imports", arguments: samples)
    func sample(_ sample: Sample) {
        let file = SourceFile(path: sample.path, text: sample.text)
        Sample.expect(Layers.findings(file, rows: Self.rows), sample.found)
    }
}
