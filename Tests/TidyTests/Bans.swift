/// What is not written here, each with what is written instead.
enum Bans {
    struct Ban: Sendable {
        enum View: Sendable {
            /// Without comments and the inside of literals.
            case code
            /// Without comments.
            case withoutComments
            case text
        }

        let pattern: Pattern
        let view: View
        let languages: Set<SourceFile.Language>
        let scope: @Sendable (SourceFile) -> Bool
        let message: String

        init(
            _ pattern: String, in view: View = .code, of languages: Set<SourceFile.Language>,
            where scope: @escaping @Sendable (SourceFile) -> Bool = { _ in true },
            _ message: String
        ) {
            self.pattern = Pattern(pattern)
            self.view = view
            self.languages = languages
            self.scope = scope
            self.message = message
        }
    }

    static func findings(_ file: SourceFile) -> [Finding] {
        all.filter { $0.languages.contains(file.language) && $0.scope(file) }.flatMap { ban in
            let text =
                switch ban.view {
                case .code: file.code
                case .withoutComments: file.withoutComments
                case .text: file.text
                }
            return ban.pattern.lines(in: text).map { file.finding($0, ban.message) }
        }
    }

    private static let everything: Set<SourceFile.Language> = [
        .swift, .c, .shell, .markdown, .other,
    ]
    private static let code: Set<SourceFile.Language> = [.swift, .c, .shell]

    /// A letter in brackets keeps a pattern from finding itself.
    static let all: [Ban] = [
        Ban(
            #"\btry!"#, of: [.swift],
            "`try!` traps on an error: throw it on, or catch it by `do throws(E)`"),
        Ban(
            #"\bas!"#, of: [.swift],
            "`as!` traps on another type: use `as?` and `guard`"),
        Ban(
            #"(?<!\btry)(?<!\bas)(?<=[\w)\]}?"`>])!(?!=[^=])"#, of: [.swift],
            "a forced unwrap traps on nil: use `guard let`, `??`, or `#require` in a test"),
        Ban(
            #"\b(fatalError|preconditionFailure|assertionFailure)\(\s*\)"#, of: [.swift],
            "a trap without words: say which invariant is broken"),
        Ban(
            #"(?<![.\w])(?<!func )(debugPrint|print|dump)\("#, of: [.swift],
            where: { $0.isSource && !ImportTable.isProgram($0) },
            "a library prints nothing: throw, or return what the program is to print"),
        Ban(
            #"\bThread\.sleep\b|\bTask\.sleep\b|(?<![.\w])(u|nano)?sleep\("#, of: [.swift, .c],
            "nothing polls: wait on a pidfd, an eventfd, a timerfd or a ready pipe"),
        Ban(
            #"^[ \t]*(while .*)?\bsleep\s+[\d.$]"#, of: [.shell],
            "nothing polls: `wait` for the process, or read from a pipe"),
        Ban(
            #"\bDispatch(Queue|Source|Semaphore|Group|WorkItem)\b"#, of: [.swift],
            where: \.isSource,
            "Dispatch is not linked: use an epoll loop, or a thread of its own"),
        Ban(
            #"(?<![.\w])v?fork\(\s*\)"#, of: [.swift, .c],
            "a fork copies the parent's page tables: use `clone3` with VM and VFORK, or "
                + "`posix_spawn`"),
        Ban(
            #"\b(p[k]ill|kill[a]ll)\b"#, in: .withoutComments, of: code,
            "kills by name hit others: keep the pid or the pidfd, and signal that"),
        Ban(
            #"\b(TO[D]O|FIX[M]E|X[X]X)\b"#, in: .text, of: everything,
            "finish it, or say in the docs' list of what is not done that it is not"),
        Ban(
            #"(?<![\w.)/}-])/(wo[r]k|ho[m]e/\w+|Use[r]s|mn[t]/\w+)/"#, in: .text, of: everything,
            "a path of somebody's machine: write it relative to the package"),
        Ban(
            #"\b(deb|security|ftp|snapshot|archive|packages)\.debian\.[o]rg\b"#
                + #"|\bpypi\.[o]rg\b|\bpythonhosted\.[o]rg\b|\bnpmjs\.[o]rg\b"#,
            in: .text, of: everything,
            "a registry's host name: leave the choice of mirror to the machine's own settings"),
    ]
}
