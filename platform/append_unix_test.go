//go:build unix

package platform

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestAppendFile(t *testing.T) {
	for _, row := range []struct {
		reason string
		make   func(t *testing.T, file string)
		want   string // part of the error; empty: it is written to
	}{
		{"there is none", func(*testing.T, string) {}, ""},
		{"ours", func(t *testing.T, file string) { writeText(t, file, "before\n") }, ""},
		{"in a folder that is reached through a link", func(t *testing.T, file string) {
			if err := os.Rename(filepath.Dir(file), filepath.Dir(file)+"-real"); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Dir(file)+"-real", filepath.Dir(file)); err != nil {
				t.Fatal(err)
			}
		}, ""},
		{"a link to a file of ours", func(t *testing.T, file string) {
			writeText(t, file+"rc", "untouched")
			if err := os.Symlink(file+"rc", file); err != nil {
				t.Fatal(err)
			}
		}, "too many levels of symbolic links"},
		{"a link that leads nowhere", func(t *testing.T, file string) {
			if err := os.Symlink(file+"rc", file); err != nil {
				t.Fatal(err)
			}
		}, "too many levels of symbolic links"},
		{"a folder", func(t *testing.T, file string) { mkdir(t, file) }, "is a directory"},
		{"a pipe without a reader", func(t *testing.T, file string) {
			if err := syscall.Mkfifo(file, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "no such device or address"},
		{"another user's file", func(t *testing.T, file string) { writeText(t, file, ""); chown(t, file) }, "belongs to another user (12345)"},
		{"another user's pipe", func(t *testing.T, file string) {
			if err := syscall.Mkfifo(file, 0o600); err != nil {
				t.Fatal(err)
			}
			chown(t, file)
			reader, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { reader.Close() })
		}, "belongs to another user (12345)"},
	} {
		t.Run(row.reason, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "dir", "trace")
			mkdir(t, filepath.Dir(file))
			row.make(t, file)
			var before []byte
			if IsPlain(file) { // the read of a pipe would wait
				before, _ = os.ReadFile(file)
			}
			f, err := AppendFile(file)
			if row.want != "" {
				if err == nil || !strings.Contains(err.Error(), row.want) {
					t.Errorf("got %v, want %q", err, row.want)
				}
				if text, err := os.ReadFile(file + "rc"); err == nil && string(text) != "untouched" || err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Errorf("behind the link: %q, %v", text, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteString("word\n"); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(file)
			info, statErr := os.Stat(file)
			if err != nil || statErr != nil || string(text) != string(before)+"word\n" || info.Mode().Perm() != 0o600 {
				t.Errorf("it holds %q, %v, %v, mode %v", text, err, statErr, info.Mode())
			}
		})
	}
}

func writeText(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
