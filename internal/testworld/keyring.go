package testworld

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// Keyrings are the names for [StartKeyring].
var Keyrings = []string{"gnome-keyring", "KWallet", "KeePassXC"}

// comesUp is how long a keyring may take until it is open; the usual time is 1 s.
const comesUp = 30 * time.Second

// busConfig is a session bus for anyone. It starts no service unless more is in it.
const busConfig = `<busconfig>
  <type>session</type>
  <listen>unix:tmpdir=/tmp</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
  %s
</busconfig>
`

// Bus is a session bus of its own, with a home of its own, until the end of a test. It is for Linux.
type Bus struct {
	Address string
	Env     []string // of the programs on it
	run     string   // their home, short enough for the name of a socket
}

// StartBus starts a bus. more goes into its configuration. The variables are also those of the services that it starts.
func StartBus(t testing.TB, more string, env ...string) Bus {
	t.Helper()
	needInPath(t, "dbus-daemon")
	run, err := os.MkdirTemp("", "bus") // 0700, and short, which t.TempDir is not
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	config := filepath.Join(run, "bus.conf")
	Write(t, config, fmt.Sprintf(busConfig, more))
	b := Bus{run: run}
	b.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + run, "XDG_RUNTIME_DIR=" + run, "XDG_DATA_HOME=" + run + "/data"}, env...)
	b.Address = firstLine(t, b.command("dbus-daemon", "--nofork", "--config-file="+config, "--address=unix:dir="+run, "--print-address=1"))
	b.Env = append(b.Env, "DBUS_SESSION_BUS_ADDRESS="+b.Address)
	return b
}

func (b Bus) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = slices.Clip(b.Env)
	return cmd
}

// firstLine starts a program in the background, and returns the first line that it prints.
func firstLine(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	Background(t, cmd)
	line, err := bufio.NewReader(io.LimitReader(out, 4096)).ReadString('\n')
	if err != nil {
		t.Fatalf("%s prints no line: %v", cmd.Args[0], err)
	}
	return strings.TrimSpace(line)
}

// StartDisplay starts an invisible display of 800x600 pixels, and returns its name and the file with what it shows.
func StartDisplay(t testing.TB) (name, screen string) {
	t.Helper()
	needInPath(t, "Xvfb")
	dir := t.TempDir()
	// Without -noreset it starts again whenever its last client leaves, as each call of xdotool may be, and refuses who comes then.
	number := firstLine(t, exec.Command("Xvfb", "-noreset", "-displayfd", "1", "-fbdir", dir, "-screen", "0", "800x600x24", "-nolisten", "tcp"))
	return ":" + number, filepath.Join(dir, "Xvfb_screen0")
}

// Keyring is a keyring on a bus of its own.
type Keyring struct {
	Address string // of the bus
}

// StartKeyring runs an unlocked keyring of that name as the Secret Service of a bus of its own, in a home of its own, until
// the end of the test. It is for Linux, and needs no display.
func StartKeyring(t testing.TB, name string) Keyring {
	t.Helper()
	b := StartBus(t, "", "QT_QPA_PLATFORM=offscreen")
	switch name {
	case "gnome-keyring":
		b.StartGNOMEKeyring(t, "password")
	case "KWallet":
		b.StartKWallet(t, true)
	case "KeePassXC":
		b.StartKeePassXC(t, "ConfirmAccessItem", "ConfirmDeleteItem")
	default:
		t.Fatalf("no keyring is called %q", name)
	}
	open(t, b.Address, name)
	return Keyring{b.Address}
}

// StartConfirmingKeePassXC runs KeePassXC as it comes, which has the person confirm each access, on a display of that name.
func StartConfirmingKeePassXC(t testing.TB) (k Keyring, display string) {
	t.Helper()
	display, _ = StartDisplay(t)
	b := StartBus(t, "", "DISPLAY="+display)
	b.StartKeePassXC(t)
	open(t, b.Address, "KeePassXC")
	return Keyring{b.Address}, display
}

// StartGNOMEKeyring runs a gnome-keyring-daemon on the bus, with an open default keyring of that password, or without any if it
// is empty.
func (b Bus) StartGNOMEKeyring(t testing.TB, password string) *os.Process {
	t.Helper()
	needInPath(t, "gnome-keyring-daemon")
	cmd := b.command("gnome-keyring-daemon", "--foreground", "--components=secrets")
	if password != "" {
		cmd.Args = append(cmd.Args, "--unlock")
		cmd.Stdin = strings.NewReader(password)
	}
	Background(t, cmd)
	return cmd.Process
}

// PID returns the process that provides the Secret Service.
func (k Keyring) PID(t testing.TB) (pid uint32) {
	t.Helper()
	conn, err := dbus.Connect(k.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = conn.BusObject().Call("org.freedesktop.DBus.GetConnectionUnixProcessID", 0, "org.freedesktop.secrets").Store(&pid)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// open waits until the service of a bus has an open keyring, which it says by nothing else. A wallet that KWallet's PAM module
// has opened is locked to the clients of this API until one of them unlocks it, for which no user is asked.
func open(t testing.TB, address, name string) {
	t.Helper()
	const api = "org.freedesktop.Secret."
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask := func(path dbus.ObjectPath, method string, args ...any) *dbus.Call {
		return conn.Object("org.freedesktop.secrets", path).Call(method, dbus.FlagNoAutoStart, args...)
	}
	limit := time.Now().Add(comesUp)
	for unlocking := false; ; time.Sleep(20 * time.Millisecond) {
		var collection, prompt dbus.ObjectPath
		var unlocked []dbus.ObjectPath
		locked := true
		err := ask("/org/freedesktop/secrets", api+"Service.ReadAlias", "default").Store(&collection)
		if err == nil && collection != "/" {
			err = ask(collection, "org.freedesktop.DBus.Properties.Get", api+"Collection", "Locked").Store(&locked)
			if err == nil && !locked {
				return
			}
			if err == nil && name == "KWallet" && !unlocking {
				unlocking = true
				err = ask("/org/freedesktop/secrets", api+"Service.Unlock", []dbus.ObjectPath{collection}).Store(&unlocked, &prompt)
				if err == nil && prompt != "/" {
					err = ask(prompt, api+"Prompt.Prompt", "").Err
				}
			}
		}
		if time.Now().After(limit) {
			t.Fatalf("%s does not come up: keyring %q, locked: %v, %v", name, collection, locked, err)
		}
	}
}

// StartKWallet runs the program of KWallet that provides the Secret Service: beside ksecretd, kwalletd6 provides something else.
// With login it is started as its PAM module does it at the login of a user, with the hash of the password, with which it makes
// and opens a wallet, and the environment; otherwise it has none. The settings are further lines of kwalletrc's group Wallet.
func (b Bus) StartKWallet(t testing.TB, login bool, settings ...string) {
	t.Helper()
	program := "ksecretd"
	if _, err := exec.LookPath(program); err != nil {
		program = "kwalletd6"
		needInPath(t, program)
	}
	if !login {
		Background(t, b.command(program))
		return
	}
	Write(t, filepath.Join(b.run, ".config", "kwalletrc"), "[Wallet]\nFirst Use=false\nClose When Idle=false\n"+strings.Join(settings, "\n"))
	hash, toHash, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(b.run, "environment"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	environment, err := listener.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	cmd := b.command(program, "--pam-login", "3", "4")
	cmd.Env, cmd.ExtraFiles = append(cmd.Env, "PAM_KWALLET5_LOGIN=1"), []*os.File{hash, environment}
	Background(t, cmd)
	hash.Close()
	environment.Close()
	const hashSize = 56 // PBKDF2_SHA512_KEYSIZE
	if _, err := toHash.Write(bytes.Repeat([]byte{7}, hashSize)); err != nil {
		t.Fatal(err)
	}
	toHash.Close()
	conn, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, strings.Join(b.Env, "\n")+"\n"); err != nil {
		t.Fatal(err)
	}
}

// A save after every change runs beside the next change, and now and then ends KeePassXC 2.7.4.
const keePassSettings = `[General]
ConfigVersion=2
SingleInstance=false
AutoSaveAfterEveryChange=false
AutoSaveOnExit=false
[GUI]
CheckForUpdates=false
[FdoSecrets]
Enabled=true
`

// An empty database whose root group is the one that the Secret Service shows.
const keePassDatabase = `<?xml version="1.0" encoding="UTF-8"?>
<KeePassFile>
  <Meta><CustomData><Item>
    <Key>FDO_SECRETS_EXPOSED_GROUP</Key><Value>{00010203-0405-0607-0809-0a0b0c0d0e0f}</Value>
  </Item></CustomData></Meta>
  <Root><Group><UUID>AAECAwQFBgcICQoLDA0ODw==</UUID><Name>Root</Name></Group></Root>
</KeePassFile>
`

// StartKeePassXC runs KeePassXC on the bus, with an empty database that it is opening. The settings named are switched off; it
// comes with all of them on.
func (b Bus) StartKeePassXC(t testing.TB, off ...string) {
	t.Helper()
	needInPath(t, "keepassxc", "keepassxc-cli")
	settings, text, database := filepath.Join(b.run, "keepassxc.ini"), filepath.Join(b.run, "database.xml"), filepath.Join(b.run, "database.kdbx")
	with := keePassSettings
	for _, name := range off {
		with += name + "=false\n"
	}
	Write(t, settings, with)
	Write(t, text, keePassDatabase)
	convert := b.command("keepassxc-cli", "import", "-p", text, database)
	convert.Stdin = strings.NewReader("password\npassword\n")
	if out, err := convert.CombinedOutput(); err != nil {
		t.Fatalf("keepassxc-cli import: %v: %s", err, out)
	}
	Background(t, b.command("keepassxc", "--config", settings, "--localconfig", filepath.Join(b.run, "local.ini")))
	openKeePassXC(t, b.Address, database)
}

// openKeePassXC waits until KeePassXC is on the bus of that address, and has it open a database with the password "password".
// KeePassXC 2.7.10 of Debian 13 crashes with --pw-stdin.
func openKeePassXC(t testing.TB, address, database string) {
	t.Helper()
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const name = "org.keepassxc.KeePassXC.MainWindow"
	for limit := time.Now().Add(comesUp); ; time.Sleep(20 * time.Millisecond) {
		err := conn.Object(name, "/keepassxc").Call(name+".openDatabase", dbus.FlagNoAutoStart, database, "password").Err
		if err == nil {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("KeePassXC does not come up: %v", err)
		}
	}
}

// Background runs a program until the end of the test.
func Background(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}

// needInPath is [Need] for programs that run nowhere but on a desktop.
func needInPath(t testing.TB, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			if Required(program) {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}
