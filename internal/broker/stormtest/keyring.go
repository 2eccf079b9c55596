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

// service starts a Secret Service with an open keyring on the bus of env, in the folder run.
type service struct {
	needs []string // programs
	start func(run string, env []string, begin func(*exec.Cmd) error) error
}

// newKeyringWorld makes a world whose store is a gnome-keyring-daemon on a bus of its own.
func newKeyringWorld(ctx context.Context, p *programs) (*world, error) {
	return newServiceWorld(ctx, p, gnomeKeyring)
}

// newServiceWorld makes a world whose store is a Secret Service on a bus of its own. Its locks are in the same folder as this
// user's, and are removed at the end.
func newServiceWorld(ctx context.Context, p *programs, s service) (*world, error) {
	for _, name := range append([]string{"dbus-daemon"}, s.needs...) {
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
		err = s.start(run, env, begin)
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

// isOpen reports whether there is an open keyring on the bus. A search would have KeePassXC, which is still starting, ask the
// person to unlock its database.
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
	address, err = firstLine(bus, begin)
	return address, append(env, "DBUS_SESSION_BUS_ADDRESS="+address), err
}

// firstLine begins a program, and returns the first line that it prints.
func firstLine(cmd *exec.Cmd, begin func(*exec.Cmd) error) (string, error) {
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = begin(cmd)
	}
	if err != nil {
		return "", err
	}
	line, err := bufio.NewReader(io.LimitReader(out, 4096)).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s prints no line: %w", cmd.Args[0], err)
	}
	return strings.TrimSpace(line), nil
}

var gnomeKeyring = service{
	needs: []string{"gnome-keyring-daemon"},
	start: func(run string, env []string, begin func(*exec.Cmd) error) error {
		keyring := exec.Command("gnome-keyring-daemon", "--foreground", "--components=secrets", "--unlock")
		keyring.Env = env
		keyring.Stdin = strings.NewReader("password")
		keyring.WaitDelay = time.Second
		return begin(keyring)
	},
}

// An empty database, whose root group is what the Secret Service shows, and what is set besides KeePassXC's own choice. A save
// after every change runs beside the next change, and now and then ends KeePassXC 2.7.4.
const (
	keePassDatabase = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<KeePassFile>
	<Meta><CustomData><Item>
		<Key>FDO_SECRETS_EXPOSED_GROUP</Key><Value>{00010203-0405-0607-0809-0a0b0c0d0e0f}</Value>
	</Item></CustomData></Meta>
	<Root><Group><UUID>AAECAwQFBgcICQoLDA0ODw==</UUID><Name>Root</Name></Group></Root>
</KeePassFile>
`
	keePassSettings = "[General]\nConfigVersion=2\nSingleInstance=false\nAutoSaveAfterEveryChange=false\nAutoSaveOnExit=false\n" +
		"[GUI]\nCheckForUpdates=false\n[FdoSecrets]\nEnabled=true\n"
)

// keePassXC is KeePassXC on an invisible display, which display is told of. It has the person confirm each access, as it comes,
// or none.
func keePassXC(confirm bool, display func(string)) service {
	return service{
		needs: []string{"keepassxc", "keepassxc-cli", "Xvfb"},
		start: func(run string, env []string, begin func(*exec.Cmd) error) error {
			text, database, settings := filepath.Join(run, "keepassxc.xml"), filepath.Join(run, "keepassxc.kdbx"), filepath.Join(run, "keepassxc.ini")
			more := ""
			if !confirm {
				more = "ConfirmAccessItem=false\nConfirmDeleteItem=false\n"
			}
			if err := errors.Join(os.WriteFile(text, []byte(keePassDatabase), 0o600), os.WriteFile(settings, []byte(keePassSettings+more), 0o600)); err != nil {
				return err
			}
			make := exec.Command("keepassxc-cli", "import", "-p", text, database)
			make.Stdin, make.Env = strings.NewReader("password\npassword\n"), env
			if out, err := make.CombinedOutput(); err != nil {
				return fmt.Errorf("keepassxc-cli import: %w: %s", err, out)
			}
			number, err := firstLine(exec.Command("Xvfb", "-displayfd", "1", "-screen", "0", "800x600x24", "-nolisten", "tcp"), begin)
			if err != nil {
				return err
			}
			display(":" + number)
			keePass := exec.Command("keepassxc", "--config", settings, "--localconfig", filepath.Join(run, "local.ini"), "--pw-stdin", database)
			keePass.Env, keePass.WaitDelay = append(env, "DISPLAY=:"+number), time.Second
			keePass.Stdin = strings.NewReader("password\n")
			return begin(keePass)
		},
	}
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
