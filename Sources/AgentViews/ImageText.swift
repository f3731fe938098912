public import AgentAPI
internal import Console

/// Images, for people.
public enum ImageText {
    /// - Parameter store: what the store takes; left out where nothing is in it.
    public static func list(
        _ images: [Image], _ store: StoreUsage? = nil, now: Int64, width: Int? = nil
    ) -> String {
        var table = TextTable(
            header: ["NAME", "DIGEST", "SIZE", "SHARED", "SANDBOXES", "AGE", ""],
            alignments: [.left, .left, .right, .right, .right, .right, .left])
        for image in images {
            for name in image.names.isEmpty ? [image.name] : image.names {
                table.add([
                    name.isEmpty ? "-" : name, short(image.digest),
                    AmountText.bytes(image.bytes),
                    image.kind == .stored ? AmountText.bytes(image.sharedBytes) : "",
                    "\(image.sandboxes)",
                    TimeText.age(since: image.importedAtNanoseconds, now: now), note(image),
                ])
            }
        }
        let text = table.render(width: width)
        guard let store, store.layers > 0 else { return text }
        return text + usage(store) + "\n"
    }

    private static func usage(_ store: StoreUsage) -> String {
        let bound =
            store.capacityBytes == 0 ? "" : " of \(AmountText.bytes(store.capacityBytes))"
        return "\(count(store.images, "image")) of \(count(store.layers, "layer")),"
            + " \(AmountText.bytes(store.bytes))\(bound)"
    }

    /// Enough of a digest to tell it from others, and to be taken for it.
    private static func short(_ digest: String) -> String {
        String(digest.split(separator: ":").last?.prefix(12) ?? "")
    }

    private static func note(_ image: Image) -> String {
        var notes: [String] = []
        if !image.directory.isEmpty { notes.append(image.directory) }
        if image.pinned { notes.append("pinned") }
        if !image.damagedLayers.isEmpty { notes.append("damaged") }
        return notes.joined(separator: ", ")
    }

    public static func image(_ image: Image, now: Int64, width: Int? = nil) -> String {
        var table = TextTable(alignments: [.left, .left])
        func add(_ label: String, _ text: String) {
            if !text.isEmpty { table.add([label, text]) }
        }
        add("names", image.names.joined(separator: " "))
        add("directory", image.directory)
        add("digest", image.digest)
        add("platform", image.platform)
        add(
            "size",
            AmountText.bytes(image.bytes)
                + (image.sharedBytes > 0 ? ", \(AmountText.bytes(image.sharedBytes)) shared" : ""))
        add("files", "\(image.files)")
        add("imported", TimeText.utc(image.importedAtNanoseconds))
        if image.lastUsedAtNanoseconds > 0 {
            add("used", TimeText.utc(image.lastUsedAtNanoseconds))
        }
        add("pinned", image.pinned ? "yes" : "")
        let more = Int(image.sandboxes) - image.users.count
        add("sandboxes", image.users.joined(separator: " ") + (more > 0 ? " and \(more) more" : ""))
        if let config = image.config { describe(config, in: &table) }
        for (place, layer) in image.layers.enumerated() {
            let damaged = image.damagedLayers.contains(layer.digest) ? ", damaged" : ""
            table.add([
                place == 0 ? "layers" : "",
                "\(short(layer.digest)) \(AmountText.bytes(layer.bytes))\(damaged)",
            ])
        }
        return table.render(width: width)
    }

    private static func describe(_ config: ImageConfig, in table: inout TextTable) {
        for (label, words) in [
            ("entrypoint", config.entrypoint), ("command", config.command),
            ("environment", config.environment),
        ] where !words.isEmpty {
            table.add([label, words.joined(separator: " ")])
        }
        for (label, text) in [
            ("directory", config.workingDirectory), ("user", config.user),
            ("stop signal", config.stopSignal),
        ] where !text.isEmpty {
            table.add([label, text])
        }
    }

    public static func pruned(_ response: PruneResponse) -> String {
        let names = response.removed.map { PlainText.line($0) + "\n" }.joined()
        guard !response.layers.isEmpty else { return names }
        let layers = count(UInt32(clamping: response.layers.count), "layer")
        return names + "\(layers), \(AmountText.bytes(response.bytes))\n"
    }

    public static func checked(_ result: CheckResponse.Result) -> String {
        var text = ""
        for problem in result.problems {
            let images = problem.images.map { "`\($0)`" }.joined(separator: ", ")
            text +=
                PlainText.line(
                    problem.message + (images.isEmpty ? "" : ", of \(images)")) + "\n"
        }
        let layers = count(result.layers, "layer")
        let bytes = result.bytes == 0 ? "" : ", \(AmountText.bytes(result.bytes))"
        return text + (result.sound ? "sound" : "damaged") + ": \(layers)\(bytes)\n"
    }

    private static func count(_ number: UInt32, _ what: String) -> String {
        "\(number) \(what)\(number == 1 ? "" : "s")"
    }
}

/// How far something long is, in one line.
public struct ProgressText {
    /// The characters of the bar.
    private static let bar = 24

    /// `[########----------------] 12 MiB of 36 MiB, 2 of 3 layers, 24 MiB/s`
    ///
    /// - Parameters:
    ///   - layers: those that are done, and all; nothing where they are not counted.
    ///   - elapsed: since the beginning.
    public static func line(
        done: UInt64, of total: UInt64, layers: (done: UInt32, all: UInt32)? = nil,
        elapsed: Duration
    ) -> String {
        // What was announced can be less than what comes.
        let share = total == 0 ? 1 : min(1, Double(done) / Double(total))
        let filled = Int((share * Double(bar)).rounded(.down))
        var parts = ["\(AmountText.bytes(done)) of \(AmountText.bytes(max(done, total)))"]
        if let layers { parts.append("\(layers.done) of \(layers.all) layers") }
        let (seconds, attoseconds) = elapsed.components
        let time = Double(seconds) + Double(attoseconds) / 1e18
        if time > 0, done > 0 {
            parts.append("\(AmountText.bytes(UInt64(Double(done) / time)))/s")
        }
        return "[" + String(repeating: "#", count: filled)
            + String(repeating: "-", count: bar - filled) + "] "
            + parts.joined(separator: ", ")
    }
}
