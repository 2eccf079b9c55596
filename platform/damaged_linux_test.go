package platform

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// TestFileNoItem: what is no plain file is no item. It is neither read nor waited for, and what a link leads to stays.
func TestFileNoItem(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.WriteFile(elsewhere, []byte("another's"), 0o600); err != nil {
		t.Fatal(err)
	}
	for reason, put := range map[string]func(path string) error{
		"a link":               func(path string) error { return os.Symlink(elsewhere, path) },
		"a link to nothing":    func(path string) error { return os.Symlink("nowhere", path) },
		"a pipe":               func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a pipe open to all":   func(path string) error { return unix.Mkfifo(path, 0o666) },
		"a link to itself":     func(path string) error { return os.Symlink(filepath.Base(path), path) },
		"a link to the device": func(path string) error { return os.Symlink("/dev/zero", path) },
	} {
		dir := filepath.Join(TempDir(t), "state")
		k, err := OpenKeychain("file", dir)
		if err != nil {
			t.Fatal(err)
		}
		damage := func() {
			if err := k.Set(t.Context(), "item", "whole"); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "item.json")
			if err := errors.Join(os.Remove(file), put(file)); err != nil {
				t.Fatal(err)
			}
		}
		damage()
		checkDamaged(t, k, reason, "", ErrDamaged, damage)
	}
	// A sign-in could not replace a folder, and would be lost.
	dir := filepath.Join(TempDir(t), "state")
	k, err := OpenKeychain("file", dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(k.Set(t.Context(), "other", "whole"), os.Mkdir(filepath.Join(dir, "item.json"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Get(t.Context(), "item"); err == nil || errors.Is(err, ErrDamaged) || errors.Is(err, ErrNotFound) {
		t.Errorf("a folder: %v", err)
	}
	if text, err := os.ReadFile(elsewhere); string(text) != "another's" {
		t.Errorf("what a link leads to: %q, %v", text, err)
	}
}

// TestSecretServiceDamaged: gnome-keyring keeps an item without a secret. That it is locked is no answer to it, since nothing
// can be unlocked.
func TestSecretServiceDamaged(t *testing.T) {
	s := startKeyring(t)
	k := keychainOn(s.address)
	for reason, text := range map[string]string{"0 bytes": "", "no UTF-8": "\xff\xfe{\x00}\x00"} {
		var want error
		if text == "" {
			want = ErrDamaged
		}
		damage := func() {
			if err := k.Set(t.Context(), "item", "whole"); err != nil {
				t.Fatal(err)
			}
			var output dbus.Variant
			var session dbus.ObjectPath
			if err := s.secrets(secretsPath).Call(secretsAPI+"Service.OpenSession", 0, "plain", dbus.MakeVariant("")).Store(&output, &session); err != nil {
				t.Fatal(err)
			}
			var open, locked []dbus.ObjectPath
			if err := s.secrets(secretsPath).Call(secretsAPI+"Service.SearchItems", 0, attributes("item")).Store(&open, &locked); err != nil || len(open) != 1 {
				t.Fatal(open, err)
			}
			content := dbusSecret{Session: session, Parameters: []byte{}, Value: []byte(text), ContentType: "text/plain"}
			if err := s.secrets(open[0]).Call(secretsAPI+"Item.SetSecret", 0, content).Err; err != nil {
				t.Fatal(err)
			}
		}
		damage()
		checkDamaged(t, k, reason, text, want, damage)
	}
}

// TestKernelKeyringDamaged: the kernel keeps no key of 0 bytes, and any other.
func TestKernelKeyringDamaged(t *testing.T) {
	NeedKernelKeyring(t)
	k := kernelKeychain(t)
	put := func(text string) error {
		ring, done, err := persistentKeyring(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer done()
		_, err = unix.AddKey(keyType, keyDescription("item"), []byte(text), ring)
		return err
	}
	if err := put(""); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a key of 0 bytes: %v", err)
	}
	const text = "\xff\xfe{\x00}\x00"
	damage := func() {
		if err := put(text); err != nil {
			t.Fatal(err)
		}
	}
	damage()
	checkDamaged(t, k, "no UTF-8", text, nil, damage)
}
