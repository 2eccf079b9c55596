package platform

import (
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

func toolHome(tool string, getenv func(string) string) Home {
	home := windowsUserHome(getenv)
	switch tool {
	case "git":
		home = windowsGitHome(getenv, os.Stat)
	case "kubectl":
		home = windowsKubeHome(getenv, os.Stat)
	}
	if home.Path == "" {
		home.Path, _ = windows.KnownFolderPath(windows.FOLDERID_Profile, 0) // a service may have none
	}
	return home
}

// The rules are functions of what was found; stat is os.Stat.

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
