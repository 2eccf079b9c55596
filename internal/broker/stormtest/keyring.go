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

	"clerk-credential-helper/internal/broker"
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

// newKeyringWorld makes a world whose store is a gnome-keyring-daemon on a bus of its own. Its locks are in the same folder
// as this user's, and are removed at the end.
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
	address, err := startKeyring(run, begin)
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
	w.ends = append(w.ends, undo, w.removeLocks)
	err = until(ctx, "gnome-keyring-daemon is up", func() bool {
		_, err := w.keychain.Get(ctx, broker.KeychainItem(w.acme))
		return errors.Is(err, platform.ErrNotFound)
	})
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// startKeyring starts a bus and an unlocked keyring in the folder run, and returns the address of the bus.
func startKeyring(run string, begin func(*exec.Cmd) error) (address string, err error) {
	file := filepath.Join(run, "bus.conf")
	if err := os.WriteFile(file, []byte(busConfig), 0o600); err != nil {
		return "", err
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + run, "XDG_RUNTIME_DIR=" + run, "XDG_DATA_HOME=" + run + "/data"}
	bus := exec.Command("dbus-daemon", "--nofork", "--config-file="+file, "--address=unix:dir="+run, "--print-address=1")
	bus.Env = env
	out, err := bus.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := begin(bus); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(io.LimitReader(out, 4096)).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("dbus-daemon printed no address: %w", err)
	}
	address = strings.TrimSpace(line)
	keyring := exec.Command("gnome-keyring-daemon", "--foreground", "--components=secrets", "--unlock")
	keyring.Env = append(env, "DBUS_SESSION_BUS_ADDRESS="+address)
	keyring.Stdin = strings.NewReader("password")
	keyring.WaitDelay = time.Second
	return address, begin(keyring)
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
