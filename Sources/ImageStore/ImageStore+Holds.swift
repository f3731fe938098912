internal import LinuxKernel

extension ImageStore {
    /// Notes that somebody uses an image: it is not removed, pruned or evicted until `release`.
    ///
    /// - Parameter owner: 1 to 128 characters of `a-z A-Z 0-9 . _ -`, the first no dot.
    public func hold(_ image: Digest, for owner: String) throws(ImageError) {
        try hold([image], for: owner)
    }

    /// Notes all that somebody uses, images and single layers: what was noted for the owner before
    /// is taken back in the same step. All of it is there from then on until `release`, or the call
    /// fails and nothing is noted.
    public func hold(_ used: [Digest], for owner: String) throws(ImageError) {
        try Self.check(owner: owner)
        try folders.locked { () throws(ImageError) in
            for digest in used {
                let isImage = Files.exists(digest.hexadecimal + ".json", at: folders.images)
                guard isImage || Files.exists(digest.hexadecimal, at: folders.layers) else {
                    throw ImageError(.notFound, "there is no image or layer \(digest)")
                }
                if isImage { try touch(digest) }
            }
            // Not waited for: no user outlives a loss of power.
            let temporary = ".new-\(owner)"
            do throws(SystemCallError) {
                let file = try Files.open(
                    temporary, at: folders.holds, [.writeOnly, .create, .truncate])
                try file.writeAll(Array(used.map { $0.hexadecimal + "\n" }.joined().utf8))
                try Files.rename(temporary, at: folders.holds, to: owner, at: folders.holds)
            } catch {
                throw ImageError(error, doing: "note the use of an image")
            }
        }
    }

    /// Takes a note of use back; does nothing if there is none.
    public func release(_ owner: String) throws(ImageError) {
        try Self.check(owner: owner)
        try folders.remove(owner, at: folders.holds)
    }

    /// Who uses what: images and single layers.
    public func holds() throws(ImageError) -> [String: [Digest]] {
        var result: [String: [Digest]] = [:]
        for owner in try folders.names(in: folders.holds) where !owner.hasPrefix(".") {
            guard let text = try folders.readText(owner, at: folders.holds, limit: 1 << 20)
            else { continue }
            result[owner] = text.split(separator: "\n").compactMap {
                Digest(hexadecimal: String($0))
            }
        }
        return result
    }

    /// All that anybody uses.
    func held() throws(ImageError) -> Set<Digest> {
        Set(try holds().values.joined())
    }

    private static func check(owner: String) throws(ImageError) {
        guard isWord(owner, signs: "._-"), owner.utf8.count <= 128, !owner.hasPrefix(".") else {
            throw ImageError(
                .malformed, "\(LayerEntry.shown(Array(owner.utf8))) is no owner's name")
        }
    }

    /// Whether a text has letters and digits of ASCII, those signs, and is not empty.
    static func isWord(_ text: String, signs: String) -> Bool {
        let letters = [
            UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        ]
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        return !text.isEmpty
            && text.utf8.allSatisfy { byte in
                letters.contains { $0.contains(byte) } || digits.contains(byte)
                    || signs.utf8.contains(byte)
            }
    }
}
