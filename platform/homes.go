package platform

import (
	"errors"
	"io/fs"
	"path/filepath"
)

// Home is a home folder as a program finds it. Path is empty if the variable is not set.
type Home struct {
	Variable string // that names it
	Path     string
}

// UserHome returns the home folder of most programs: $HOME on Unix, and on Windows %USERPROFILE%, or else the profile's folder
// as the system has it. So do Go programs such as docker's client (os.UserHomeDir), node.js and so npm (libuv,
// uv_os_homedir), cargo (the crate home) and Bazel (bazel.build, "Write bazelrc configuration files").
func UserHome(getenv func(string) string) Home { return userHome(getenv) }

// GitHome returns the home folder of git, which on Windows is %HOME%, else %HOMEDRIVE%%HOMEPATH% if there is such a folder, else
// %USERPROFILE% (git, compat/mingw.c, setup_windows_environment).
func GitHome(getenv func(string) string) Home { return gitHome(getenv) }

// KubeHome returns the home folder of kubectl, which on Windows is the first of %HOME%, %HOMEDRIVE%%HOMEPATH% and
// %USERPROFILE% with a .kube\config in it; else the first of %HOME%, %USERPROFILE% and %HOMEDRIVE%%HOMEPATH% that is a folder
// which can be written to, that is there, or that is set (kubernetes/client-go, util/homedir).
func KubeHome(getenv func(string) string) Home { return kubeHome(getenv) }

// ShownInHome returns a path below the home folder as messages show it: with ~ on Unix, whose shells know it, else in full.
// Path has slashes.
func ShownInHome(home, path string) string {
	if caseless {
		return filepath.Join(home, filepath.FromSlash(path))
	}
	return "~/" + path
}

// The rules of Windows are functions of what was found, so that one machine can test them all. stat is os.Stat.

func windowsUserHome(getenv func(string) string) Home {
	return Home{"USERPROFILE", getenv("USERPROFILE")}
}

func driveHome(getenv func(string) string) Home {
	h := Home{Variable: "HOMEDRIVE with HOMEPATH"}
	if drive, path := getenv("HOMEDRIVE"), getenv("HOMEPATH"); drive != "" && path != "" {
		h.Path = drive + path
	}
	return h
}

func windowsGitHome(getenv func(string) string, stat func(string) (fs.FileInfo, error)) Home {
	if home := getenv("HOME"); home != "" {
		return Home{"HOME", home}
	}
	if drive := driveHome(getenv); drive.Path != "" {
		if info, err := stat(drive.Path); err == nil && info.IsDir() {
			return drive
		}
	}
	return windowsUserHome(getenv)
}

func windowsKubeHome(getenv func(string) string, stat func(string) (fs.FileInfo, error)) Home {
	home, drive, profile := Home{"HOME", getenv("HOME")}, driveHome(getenv), windowsUserHome(getenv)
	for _, h := range []Home{home, drive, profile} {
		if h.Path == "" {
			continue
		}
		if _, err := stat(filepath.Join(h.Path, ".kube", "config")); err == nil {
			return h
		}
	}
	var there, set Home
	for _, h := range []Home{home, profile, drive} {
		if h.Path == "" {
			continue
		}
		if set.Path == "" {
			set = h
		}
		info, err := stat(h.Path)
		switch {
		case err != nil:
		case info.IsDir() && info.Mode().Perm()&0o200 != 0:
			return h
		case there.Path == "":
			there = h
		}
	}
	switch {
	case there.Path != "":
		return there
	case set.Path != "":
		return set
	}
	return profile
}

// SystemHome returns the home folder where no variable names one; see [UserHome]. Without one it is [ErrNoHome].
func SystemHome() (string, error) {
	home, err := systemHome()
	if err != nil {
		return "", errors.Join(ErrNoHome, err)
	}
	return home, nil
}
