internal import LinuxKernel

/// Something that is wrong in a store.
public struct StoreProblem: Equatable, Sendable {
    public enum Kind: String, Sendable {
        /// A layer's file is not what was written.
        case damagedLayer = "damaged_layer"
        /// An image's layer is not there.
        case missingLayer = "missing_layer"
        /// An image's record cannot be read.
        case damagedRecord = "damaged_record"
        /// A name of an image that is not there.
        case danglingName = "dangling_name"
        /// A note of use of an image or a layer that is not there.
        case danglingHold = "dangling_hold"
        /// A layer of no image: what an import or a removal left that was killed.
        case unusedLayer = "unused_layer"
    }

    public let kind: Kind
    /// The layer or image, or the name.
    public let subject: String
    /// The images that it harms, by name where they have one.
    public let images: [String]
    public let message: String
}

public struct StoreCheck: Equatable, Sendable {
    public var layers = 0
    public var bytes: UInt64 = 0
    public var problems: [StoreProblem] = []

    /// Whether every image can be used.
    public var isSound: Bool {
        problems.allSatisfy { $0.kind == .unusedLayer || $0.kind == .danglingHold }
    }
}

extension ImageStore {
    /// Reads every layer and compares it with what was written. A layer that is damaged is marked:
    /// images with it are refused until one of them is imported again, which makes it anew.
    ///
    /// - Parameter progress: told the bytes read so far; stops the check by giving false.
    public func check(
        progress: (UInt64) -> Bool = { _ in true }
    ) throws(ImageError) -> StoreCheck {
        var result = StoreCheck()
        let index = try readIndex()
        var users: [Digest: [String]] = [:]
        let identifiers = try imageIdentifiers()
        var isComplete = true
        for identifier in identifiers {
            let names = index.names(of: identifier)
            let name = names.first ?? identifier.short
            do throws(ImageError) {
                for layer in Set(try readImage(identifier)?.layers ?? []) {
                    users[layer, default: []].append(name)
                }
            } catch {
                isComplete = false
                result.problems.append(
                    StoreProblem(
                        kind: .damagedRecord, subject: "\(identifier)", images: [name],
                        message: error.message))
            }
        }
        let present = Set(try layerIdentifiers())
        let held = try held()
        result.problems += try danglingHolds(present.union(identifiers))
        for layer in Set(users.keys).subtracting(present).sorted() {
            result.problems.append(
                StoreProblem(
                    kind: .missingLayer, subject: "\(layer)", images: users[layer] ?? [],
                    message: "layer \(layer) is not there"))
        }
        for (name, image) in index.names.sorted(by: { $0.key < $1.key })
        where !identifiers.contains(image) {
            result.problems.append(
                StoreProblem(
                    kind: .danglingName, subject: name, images: [],
                    message: "`\(name)` names \(image), which is not there"))
        }
        for layer in present.sorted() {
            let images = (users[layer] ?? []).sorted()
            let before = fileNumber(of: layer)
            let message = try check(layer, &result.bytes, progress)
            // Made anew or removed meanwhile: that is another layer than what was read.
            guard
                try folders.locked({ () throws(ImageError) in
                    guard fileNumber(of: layer) == before, hasDirectory(layer) else { return false }
                    try mark(layer, isDamaged: message != nil)
                    return true
                })
            else { continue }
            result.layers += 1
            if let message {
                result.problems.append(
                    StoreProblem(
                        kind: .damagedLayer, subject: "\(layer)", images: images, message: message))
            } else if images.isEmpty, isComplete, !held.contains(layer) {
                result.problems.append(
                    StoreProblem(
                        kind: .unusedLayer, subject: "\(layer)", images: [],
                        message: "layer \(layer) belongs to no image"))
            }
        }
        return result
    }

    private func danglingHolds(_ present: Set<Digest>) throws(ImageError) -> [StoreProblem] {
        var result: [StoreProblem] = []
        for (owner, used) in try holds().sorted(by: { $0.key < $1.key }) {
            for digest in used where !present.contains(digest) {
                result.append(
                    StoreProblem(
                        kind: .danglingHold, subject: owner, images: [],
                        message: "`\(owner)` uses \(digest), which is not there"))
            }
        }
        return result
    }

    private func fileNumber(of layer: Digest) -> UInt64? {
        try? Files.status(of: "\(layer.hexadecimal)/layer.erofs", at: folders.layers).inode
    }

    private func hasDirectory(_ layer: Digest) -> Bool {
        Files.exists(layer.hexadecimal, at: folders.layers)
    }

    /// Takes the mark away, too: an earlier check may have met a disk that failed to read, and no
    /// longer does.
    private func mark(_ layer: Digest, isDamaged: Bool) throws(ImageError) {
        let name = "\(layer.hexadecimal)/damaged"
        guard isDamaged else {
            try folders.remove(name, at: folders.layers)
            return
        }
        try storing("mark layer \(layer.short)") { () throws(SystemCallError) in
            _ = try Files.open(name, at: folders.layers, [.writeOnly, .create])
        }
    }

    /// What is wrong with a layer, if anything.
    private func check(
        _ layer: Digest, _ total: inout UInt64, _ progress: (UInt64) -> Bool
    ) throws(ImageError) -> String? {
        let record: LayerRecord
        do throws(ImageError) {
            guard let found = try self.layer(layer), found.diffID == layer else {
                return "layer \(layer) has no record"
            }
            record = found
        } catch {
            return error.message
        }
        let file: Descriptor
        do throws(SystemCallError) {
            file = try Files.open("\(layer.hexadecimal)/layer.erofs", at: folders.layers, .readOnly)
        } catch {
            return "layer \(layer): \(error)"
        }
        let message = try compare(file, with: record, &total, progress)
        file.forgetContent()
        return message
    }

    private func compare(
        _ file: borrowing Descriptor, with record: LayerRecord, _ total: inout UInt64,
        _ progress: (UInt64) -> Bool
    ) throws(ImageError) -> String? {
        let layer = record.diffID
        let size = (try? Files.status(of: file))?.size ?? 0
        guard size == record.bytes else {
            return "layer \(layer) has \(size) bytes instead of \(record.bytes)"
        }
        var buffer = [UInt8](repeating: 0, count: ErofsFormat.blockSize)
        var place: UInt64 = 0
        var hash = SHA256()
        while place < size {
            let count: Int
            do throws(SystemCallError) {
                var span = buffer.mutableSpan
                count = try file.read(into: &span, at: place)
            } catch {
                return "layer \(layer) cannot be read at \(place): \(error.errorNumber)"
            }
            guard count > 0 else { return "layer \(layer) ends at \(place)" }
            hash.update(buffer.span.extracting(first: count))
            if place == 0 {
                // The first block is digested by itself.
                guard hash.finish() == record.head else {
                    return "layer \(layer) is not what was written: its first block differs"
                }
                buffer = [UInt8](repeating: 0, count: 1 << 20)
            }
            place += UInt64(count)
            total += UInt64(count)
            guard progress(total) else {
                throw ImageError(.cancelled, "the check was cancelled")
            }
        }
        guard hash.finish() == record.body else {
            return "layer \(layer) is not what was written: its content differs"
        }
        return nil
    }
}
