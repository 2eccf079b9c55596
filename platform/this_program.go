package platform

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// IsThisProgram reports whether a file is the program that is running, under whatever name, through links or as a copy. An
// error means that one of the two cannot be looked at, for instance because the file is missing.
func IsThisProgram(file string) (bool, error) {
	there, err := os.Stat(file)
	if err != nil {
		return false, err
	}
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	here, err := os.Stat(self)
	if err != nil || os.SameFile(here, there) {
		return err == nil, err
	}
	if !there.Mode().IsRegular() || here.Size() != there.Size() {
		return false, nil
	}
	return sameBytes(self, file)
}

// sameBytes reports whether two files are the same. Where there are no links each name is a copy of the program.
func sameBytes(one, other string) (bool, error) {
	var sums [2][]byte
	for i, name := range []string{one, other} {
		f, err := os.Open(name)
		if err != nil {
			return false, err
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			return false, err
		}
		sums[i] = h.Sum(nil)
	}
	return bytes.Equal(sums[0], sums[1]), nil
}

// NameBeside returns the file by which a program would have another name in its own folder.
func NameBeside(program, name string) string {
	if caseless {
		name += ".exe"
	}
	return filepath.Join(filepath.Dir(program), name)
}

// GiveName makes file, which must be missing, another name of a program: a link, or on Windows a copy, which can be removed while
// the program runs.
func GiveName(program, file string) error {
	target := program
	if filepath.Dir(program) == filepath.Dir(file) {
		target = filepath.Base(program)
	}
	if !caseless && (os.Symlink(target, file) == nil || os.Link(program, file) == nil) {
		return nil
	}
	text, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o700)
}

// Link returns the absolute path of this program under another of its names, for a tool that does not find it in its
// PATH; empty if there is none. It lies in the folder in which this program was called, by a path or by the PATH
// (called is its argument 0), and not in one of a version to which that leads, which the next upgrade removes; only
// otherwise beside the file that is running.
func Link(called, name string) string {
	var folders []string
	if found, err := exec.LookPath(called); err == nil {
		if found, err = filepath.Abs(found); err == nil {
			folders = append(folders, filepath.Dir(found))
		}
	}
	if self, err := os.Executable(); err == nil {
		folders = append(folders, filepath.Dir(self))
	}
	for _, folder := range folders {
		file, err := exec.LookPath(filepath.Join(folder, name))
		if err != nil {
			continue
		}
		if is, err := IsThisProgram(file); err == nil && is {
			return file
		}
	}
	return ""
}
