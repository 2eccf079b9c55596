package platform

import (
	"path/filepath"
	"strings"
)

// ProgramName returns the name of a program, given the path by which it was called or is found: without its folder and
// without ".exe". On Windows, where names have no case and the PATHEXT of the system has ".EXE", it is in lower case:
// a caller that searches the PATH itself, as Python's shutil.which does, calls "keyring" by ...\keyring.EXE.
func ProgramName(path string) string {
	if caseless {
		return windowsProgramName(path)
	}
	return strings.TrimSuffix(filepath.Base(path), ".exe")
}

// windowsProgramName is the rule of Windows, which takes both slashes, and drops dots and blanks at the end of a name
// (Microsoft, "Naming Files, Paths, and Namespaces").
func windowsProgramName(path string) string {
	name := path[strings.LastIndexAny(path, `\/:`)+1:]
	name = strings.ToLower(strings.TrimRight(name, ". "))
	return strings.TrimRight(strings.TrimSuffix(name, ".exe"), ". ")
}

// CalledName returns the name of a program in a path that a tool's configuration file holds. The file may be shared with
// another system, so a name that ends with ".exe", in any case, is taken as Windows takes it.
func CalledName(path string) string {
	name := path[strings.LastIndexAny(path, `\/`)+1:]
	if caseless || strings.HasSuffix(strings.ToLower(name), ".exe") {
		return windowsProgramName(name)
	}
	return name
}

// ParentName returns the name of the program that has started this one, as the system has it: foreign text, and often cut. It
// is empty where the system does not say, and on Windows.
func ParentName() string { return parentName() }
