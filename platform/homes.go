package platform

// Home is a home folder as a tool finds it. Path is empty if there is none; it is the tool's matter if it is relative.
type Home struct {
	Variable string // that names it
	Path     string
}

// HomeOf returns the home folder of a tool, $HOME on Unix. On Windows it is that of
//   - git: %HOME%, else %HOMEDRIVE%%HOMEPATH% if there is such a folder, else as for others (git, compat/mingw.c,
//     setup_windows_environment);
//   - kubectl: the first of %HOME%, %HOMEDRIVE%%HOMEPATH% and %USERPROFILE% with a .kube\config in it, else the first of %HOME%,
//     %USERPROFILE% and %HOMEDRIVE%%HOMEPATH% that can be written to, is there, or is set (kubernetes/client-go, util/homedir);
//   - others: %USERPROFILE%, or the profile's folder as the system has it: docker's client (Go, os.UserHomeDir), npm (libuv,
//     uv_os_homedir), cargo (the crate home), Bazel (bazel.build, "Write bazelrc configuration files").
func HomeOf(tool string, getenv func(string) string) Home { return toolHome(tool, getenv) }
