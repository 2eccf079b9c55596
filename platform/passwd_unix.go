//go:build unix

package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// getentLimit bounds the question to the name service, which may ask a server.
	getentLimit = 2 * time.Second
	// maxPasswd bounds its answer, one line, in bytes.
	maxPasswd = 4 << 10
)

// passwdHome is the home folder in the user database. user.Current would fall back to $HOME. It is [ErrNoUser] if no
// database has this user.
func passwdHome() (string, error) {
	return homeOf(strconv.Itoa(os.Getuid()), user.LookupId, []string{"/usr/bin/getent", "/bin/getent"})
}

// homeOf asks the first getent that is there where lookup knows no such user: a static program reads /etc/passwd alone, and
// users of LDAP or SSSD are known to the C library's name service only (nsswitch.conf(5)).
func homeOf(uid string, lookup func(string) (*user.User, error), getents []string) (string, error) {
	u, err := lookup(uid)
	var unknown user.UnknownUserIdError
	switch {
	case err == nil && !filepath.IsAbs(u.HomeDir):
		return "", fmt.Errorf("%w: the user database names no home folder for user %s", ErrNoUser, uid)
	case err == nil:
		return u.HomeDir, nil
	case !errors.As(err, &unknown) && !errors.Is(err, os.ErrNotExist): // there may be no /etc/passwd
		return "", err
	}
	why := "there is no getent to ask the name service"
	for _, program := range getents {
		if !IsPlain(program) {
			continue
		}
		home, err := askNameService(program, uid)
		if err == nil {
			return home, nil
		}
		why = err.Error()
		break
	}
	return "", fmt.Errorf("%w: user %s is not in the user database (%s)", ErrNoUser, uid, why)
}

// askNameService returns the home folder of the line that "getent passwd UID" prints, as in passwd(5). It gets nothing of our
// environment, so that two processes of a user get one answer.
func askNameService(getent, uid string) (home string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), getentLimit)
	defer cancel()
	out := bounded{left: maxPasswd}
	cmd := exec.CommandContext(ctx, getent, "passwd", uid)
	cmd.Env, cmd.Dir, cmd.WaitDelay = []string{}, "/", 100*time.Millisecond
	cmd.Stdout = &out
	err = cmd.Run()
	text := out.text.String()
	line, _, ended := strings.Cut(text, "\n")
	field := strings.Split(line, ":")
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("%s has not answered within %v", getent, getentLimit)
	case err != nil && out.left >= 0:
		return "", fmt.Errorf("%s knows no such user", getent)
	case err != nil || !ended || len(field) != 7 || field[2] != uid || !filepath.IsAbs(field[5]):
		return "", fmt.Errorf("the answer of %s could not be used", getent)
	}
	return filepath.Clean(field[5]), nil
}

// bounded keeps what is written to it, and refuses what is too much.
type bounded struct {
	text strings.Builder
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, io.ErrShortWrite
	}
	return b.text.Write(p)
}
