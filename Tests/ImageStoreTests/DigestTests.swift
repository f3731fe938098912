import TestSupport
import Testing

@testable import ImageStore

@Suite struct DigestTests {
    @Test(
        "SHA-256 is that of its standard",
        arguments: [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                String(repeating: "a", count: 1_000_000),
                "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
            ),
        ])
    func vectors(text: String, digest: String) {
        #expect(SHA256.digest(of: Array(text.utf8)).hexadecimal == digest)
        var hash = SHA256()
        for byte in text.utf8 { hash.update([byte].span) }
        #expect(hash.finish().hexadecimal == digest)
    }

    @Test("only SHA-256 in lower case is a digest")
    func reading() {
        let digits = String(repeating: "0a", count: 32)
        #expect(Digest("sha256:" + digits)?.description == "sha256:" + digits)
        #expect(Digest("sha256:" + digits)?.short == "0a0a0a0a0a0a")
        for bad in [
            digits, "sha256:" + digits.uppercased(), "sha256:" + digits.dropLast(),
            "sha256:" + digits + "0", "sha512:" + digits + digits,
            "sha256:../" + digits.dropLast(3),
        ] {
            #expect(Digest(bad) == nil)
        }
    }
}
