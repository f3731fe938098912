internal import ImageStore
internal import LinuxKernel

/// Which images of the store sandboxes are made of, and the store's notes of that.
///
/// Uses are counted in memory, by sandboxes of which the record says what they are made of. The
/// store has one note for each image in use, so that nobody removes it, whatever process: it is
/// written when the first sandbox is made of an image, and stays when the last one has gone until
/// something is to be removed. So a function whose sandboxes come and go costs no writing.
final class ImageHolds: Sendable {
    private let store: ImageStore
    private let uses = Locked<[Digest: Int]>([:])
    /// Images with a note. Held while notes change, which takes time.
    private let noted = Locked<Set<Digest>>([])

    private static let prefix = "agent."

    init(_ store: ImageStore) {
        self.store = store
    }

    private static func owner(of image: Digest) -> String { prefix + image.hexadecimal }

    /// One more sandbox is made of images. Takes no time.
    func use(_ images: [Digest]) {
        uses.with { uses in
            for image in images { uses[image, default: 0] += 1 }
        }
    }

    /// One sandbox less. Takes no time.
    ///
    /// - Returns: those of them that no sandbox is made of any more.
    func drop(_ images: [Digest]) -> [Digest] {
        uses.with { uses in
            for image in images {
                guard let count = uses[image] else { continue }
                uses[image] = count == 1 ? nil : count - 1
            }
            return images.filter { uses[$0] == nil }
        }
    }

    /// Sees to it that nobody removes images. Fails where one is gone.
    func ensure(_ images: [Digest]) throws(ImageError) {
        try noted.with { (noted) throws(ImageError) in
            for image in images where !noted.contains(image) {
                try store.hold(image, for: Self.owner(of: image))
                noted.insert(image)
            }
        }
    }

    /// Takes back the notes of images that no sandbox is made of: before something is removed.
    func releaseIdle() {
        noted.with { noted in
            let used = uses.with { Set($0.keys) }
            for image in noted.subtracting(used)
            where (try? store.release(Self.owner(of: image))) != nil {
                noted.remove(image)
            }
        }
    }

    /// Makes the notes those of the uses, whatever an earlier agent left.
    ///
    /// - Returns: images that sandboxes are made of and that are gone.
    func reconcile() throws(ImageError) -> [Digest] {
        let used = uses.with { Set($0.keys) }
        var present: Set<Digest> = []
        for (owner, noted) in try store.holds() where owner.hasPrefix(Self.prefix) {
            if let image = noted.first, used.contains(image), owner == Self.owner(of: image) {
                present.insert(image)
            } else {
                try store.release(owner)
            }
        }
        noted.with { $0 = present }
        return used.subtracting(present).sorted().filter { (try? ensure([$0])) == nil }
    }
}
