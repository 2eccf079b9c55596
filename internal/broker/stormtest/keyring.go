package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"

	"clerk-credential-helper/platform"
)

// errNoKeyring means that a program is not installed.
var errNoKeyring = errors.New("not installed")

const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:tmpdir=/tmp</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
`

// newKeyringWorld makes a world whose store is a gnome-keyring-daemon on a bus of its own. Its locks are in the same folder as
// this user's, and are removed at the end.
func newKeyringWorld(ctx context.Context, p *programs) (*world, error) {
	for _, name := range []string{"dbus-daemon", "gnome-keyring-daemon"} {
		if _, err := exec.LookPath(name); err != nil {
			return nil, fmt.Errorf("%s: %w", name, errNoKeyring)
		}
	}
	run, err := os.MkdirTemp("", "bus") // 0700, and short enough for the name of a socket
	if err != nil {
		return nil, err
	}
	ends := []func(){func() { os.RemoveAll(run) }}
	undo := func() {
		for i := range ends {
			ends[len(ends)-1-i]()
		}
	}
	begin := func(cmd *exec.Cmd) error {
		platform.OwnSession(cmd)
		if err := cmd.Start(); err != nil {
			return err
		}
		ends = append(ends, func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
		return nil
	}
	address, env, err := startBus(run, begin)
	if err == nil {
		keyring := exec.Command("gnome-keyring-daemon", "--foreground", "--components=secrets", "--unlock")
		keyring.Env, keyring.Stdin, keyring.WaitDelay = env, strings.NewReader("password"), time.Second
		err = begin(keyring)
	}
	if err != nil {
		undo()
		return nil, err
	}
	// The store's client reads the address from the environment, once.
	before := os.Getenv("DBUS_SESSION_BUS_ADDRESS")
	os.Setenv("DBUS_SESSION_BUS_ADDRESS", address)
	w, err := furnish(p, "keychain", []string{"DBUS_SESSION_BUS_ADDRESS=" + address})
	os.Setenv("DBUS_SESSION_BUS_ADDRESS", before)
	if err != nil {
		undo()
		return nil, err
	}
	w.bus = address
	w.ends = append(w.ends, undo, w.removeLocks)
	err = until(ctx, "the Secret Service is up", func() bool { return isOpen(address) })
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// isOpen reports whether there is an open keyring on the bus.
func isOpen(address string) bool {
	const name, api = "org.freedesktop.secrets", "org.freedesktop.Secret."
	conn, err := dbus.Connect(address)
	if err != nil {
		return false
	}
	defer conn.Close()
	var keyring dbus.ObjectPath
	if conn.Object(name, "/org/freedesktop/secrets").Call(api+"Service.ReadAlias", dbus.FlagNoAutoStart, "default").Store(&keyring) != nil {
		return false
	}
	locked, err := conn.Object(name, keyring).GetProperty(api + "Collection.Locked")
	return err == nil && locked.Value() == false
}

// startBus starts a bus in the folder run, and returns its address and the environment of programs on it.
func startBus(run string, begin func(*exec.Cmd) error) (address string, env []string, err error) {
	file := filepath.Join(run, "bus.conf")
	if err := os.WriteFile(file, []byte(busConfig), 0o600); err != nil {
		return "", nil, err
	}
	env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + run, "XDG_RUNTIME_DIR=" + run, "XDG_DATA_HOME=" + run + "/data"}
	bus := exec.Command("dbus-daemon", "--nofork", "--config-file="+file, "--address=unix:dir="+run, "--print-address=1")
	bus.Env = env
	out, err := bus.StdoutPipe()
	if err == nil {
		err = begin(bus)
	}
	if err != nil {
		return "", nil, err
	}
	line, err := bufio.NewReader(io.LimitReader(out, 4096)).ReadString('\n')
	if err != nil {
		return "", nil, fmt.Errorf("dbus-daemon prints no address: %w", err)
	}
	address = strings.TrimSpace(line)
	return address, append(env, "DBUS_SESSION_BUS_ADDRESS="+address), nil
}

// proxy has xdg-dbus-proxy let programs talk to the world's Secret Service alone, as Flatpak does, and returns its address.
func (w *world) proxy() (address string, err error) {
	dir, err := os.MkdirTemp("", "proxy") // short enough for the name of a socket
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "bus")
	cmd := exec.Command("xdg-dbus-proxy", w.bus, path, "--filter", "--talk=org.freedesktop.secrets")
	platform.OwnSession(cmd)
	err = cmd.Start()
	w.ends = append(w.ends, func() {
		if err == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
		os.RemoveAll(dir)
	})
	if err != nil {
		return "", err
	}
	return "unix:path=" + path, until(context.Background(), "xdg-dbus-proxy is up", func() bool {
		_, err := os.Stat(path)
		return err == nil
	})
}

// removeLocks removes the lock and record files of this world's session. No other process uses them.
func (w *world) removeLocks() {
	dir, err := w.keychain.LockDir()
	if err != nil {
		return
	}
	for _, pattern := range []string{"*-" + w.identity() + ".lock", "outcomes/*-" + w.identity() + ".json"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return
		}
		for _, file := range files {
			os.Remove(file)
		}
	}
}
