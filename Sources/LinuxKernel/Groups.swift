/// The groups of the host.
public enum Groups {
    /// The number of a group by its name or number; nil for one that is not there.
    public static func number(of group: String) -> UInt32? {
        if let number = UInt32(group) { return number }
        let text = (try? Files.read("/etc/group", limit: 1 << 20)) ?? ""
        // `name:password:number:members`
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            if fields.count >= 3, fields[0] == group { return UInt32(fields[2]) }
        }
        return nil
    }
}
