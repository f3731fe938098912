import Foundation

/// The Python packages that `scripts/python-env` installs.
public enum PythonEnvironment {
    /// The interpreter that has them.
    public static let interpreter = PackageRoot.path("build/venv/bin/python3")

    /// Whether they are there: the script's last act is this file.
    static var isComplete: Bool {
        FileManager.default.fileExists(atPath: PackageRoot.path("build/venv/packages"))
    }
}
