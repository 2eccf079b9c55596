package platform

import (
	"bytes"
	"errors"
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

// sameBytes reports whether two files have the same content. An installation without links, as on Windows, has a copy of the
// program for each name.
func sameBytes(one, other string) (same bool, err error) {
	var files [2]io.Reader
	for i, name := range []string{one, other} {
		f, err := os.Open(name)
		if err != nil {
			return false, err
		}
		defer f.Close()
		files[i] = f
	}
	var blocks [2][1 << 16]byte
	for {
		a, err := io.ReadFull(files[0], blocks[0][:])
		b, failed := io.ReadFull(files[1], blocks[1][:])
		if !bytes.Equal(blocks[0][:a], blocks[1][:b]) {
			return false, nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.Is(failed, io.EOF) || errors.Is(failed, io.ErrUnexpectedEOF), nil
		}
		if err := errors.Join(err, failed); err != nil {
			return false, err
		}
	}
}

// NameBeside returns the file by which a program would have another name in its own folder.
func NameBeside(program, name string) string {
	if caseless {
		name += ".exe"
	}
	return filepath.Join(filepath.Dir(program), name)
}

// GiveName makes file, which must be missing, another name of a program: a symbolic link on Unix, and otherwise, or where there
// are none, a hard link or a copy.
func GiveName(program, file string) error {
	target := program
	if filepath.Dir(program) == filepath.Dir(file) {
		target = filepath.Base(program)
	}
	if !caseless && os.Symlink(target, file) == nil || os.Link(program, file) == nil {
		return nil
	}
	from, err := os.Open(program)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if err = errors.Join(err, to.Close()); err != nil {
		os.Remove(file)
	}
	return err
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
