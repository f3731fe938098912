/// What kind of machine an image is made for.
public struct Platform: Hashable, Sendable, CustomStringConvertible {
    public let system: String
    public let architecture: String
    public let variant: String?

    public init(system: String = "linux", architecture: String, variant: String? = nil) {
        self.system = system
        self.architecture = architecture
        self.variant = variant
    }

    public static var ofThisNode: Platform {
        #if arch(arm64)
            Platform(architecture: "arm64")
        #else
            Platform(architecture: "amd64")
        #endif
    }

    public var description: String {
        [system, architecture, variant].compactMap { $0 }.joined(separator: "/")
    }

    /// Whether an image for `other` runs here: a variant is only told apart where both have one.
    func accepts(_ other: Platform) -> Bool {
        let variants = [variant, other.variant].compactMap { $0 }
        return system == other.system && architecture == other.architecture
            && Set(variants).count < 2
    }
}
