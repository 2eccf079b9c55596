package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/toolconfig"
)

// gitSettings asks git for those settings of its configuration, in a folder, that decide what it sends to a host. An
// error is in git's own words.
func gitSettings(ctx context.Context, program, folder string) (toolconfig.GitSettings, error) {
	out, err := gitConfig(ctx, program, folder, "--null", "--get-regexp", `^(credential\.(.*\.)?(helper|username)|http\.(.*\.)?extraheader)$`)
	exit, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil, exited && exit.ExitCode() == 1: // no key matches
		return toolconfig.ParseGitList(out), nil
	case exited:
		return nil, errors.New(strings.TrimSpace(string(exit.Stderr)))
	}
	return nil, err
}

// gitConfig runs "git config" in a folder, the current one if it is empty, and returns what it prints.
func gitConfig(ctx context.Context, program, folder string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, append([]string{"config"}, args...)...)
	cmd.Dir = folder
	cmd.WaitDelay = time.Second // a wrapper script that is killed leaves its git behind, which holds the pipe
	return cmd.Output()
}

// AskGit asks git, in the current folder, for the last value of a setting, for at most 2 s. It is empty if there is
// none, or git does not say.
func AskGit(ctx context.Context, tools toolconfig.Env, key string) string {
	program, err := tools.LookPath("git")
	if err != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	out, err := gitConfig(ctx, program, "", "--get", key)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// GitLeft returns lines for people on what unset leaves to undo by hand in git's configuration: settings in files that setup
// does not write, such as the machine's, that make git ask us. It asks git, outside of a repository, for at most 2 s.
func GitLeft(ctx context.Context, tools toolconfig.Env) []string {
	program, err := tools.LookPath("git")
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	out, err := gitConfig(ctx, program, outside(), "--null", "--show-origin", "--get-regexp", `^credential\.(.*\.)?helper$`)
	if err != nil {
		return nil
	}
	var left []string
	fields := strings.Split(string(out), "\x00") // origin and setting in turn
	for i := 0; i+1 < len(fields); i += 2 {
		key, value, _ := strings.Cut(fields[i+1], "\n")
		if toolconfig.IsGitHelper(value) {
			left = append(left, fmt.Sprintf("git still asks us, by %s in %s", key, strings.TrimPrefix(fields[i], "file:")))
		}
	}
	return left
}

// outside is a folder that is in no repository, so that git reads only the user's own configuration there.
func outside() string { return filepath.VolumeName(os.TempDir()) + string(filepath.Separator) }

// SendsOtherHeader reports whether git sends the Authorization of http.extraHeader to an address, and never a token. It
// asks git, in the current folder, for at most 2 s.
func SendsOtherHeader(ctx context.Context, tools toolconfig.Env, address string) bool {
	program, err := tools.LookPath("git")
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	settings, err := gitSettings(ctx, program, "")
	return err == nil && settings.AuthorizationHeader(address) != ""
}

// git asks git for its configuration, and checks which helpers it would ask for each host.
func (d *doctor) git(ctx context.Context, cfg *config.Config) {
	const check = "git"
	program, err := d.env.Tools.LookPath("git")
	if err != nil || len(cfg.Profiles) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	settings, err := gitSettings(ctx, program, outside())
	if ctx.Err() != nil {
		d.fail(check, "it did not show its configuration in time", "check that git config --list ends by itself")
		return
	}
	if err != nil {
		d.fail(check, "git cannot read its configuration: "+err.Error(), "fix the file and the line that git names")
		return
	}
	told, untold := []string{}, []string{}
	for _, p := range cfg.Profiles {
		for _, h := range p.Hosts {
			url := "https://" + h.String()
			helpers := settings.Helpers(url)
			at := slices.IndexFunc(helpers, toolconfig.IsGitHelper)
			if at < 0 {
				untold = append(untold, h.String())
				continue
			}
			told = append(told, h.String())
			if value := helpers[at]; value != "clerk" && !toolconfig.GitHelperWorks(d.env.Tools, value) {
				d.fail(check, fmt.Sprintf("for %s it calls %s, which is not there", h, value), "clerk-credential-helper setup git", d.setUpGit(cfg))
			}
			if len(helpers) > 1 {
				others := slices.DeleteFunc(slices.Clone(helpers), toolconfig.IsGitHelper)
				d.fail(check, fmt.Sprintf("for %s it also asks %s, and gives it our token to store", h, strings.Join(others, ", ")),
					"clerk-credential-helper setup git", d.setUpGit(cfg))
			}
			if key := settings.AuthorizationHeader(url); key != "" {
				d.warn(check, fmt.Sprintf("for %s it sends the Authorization of %s, and never our token", h, key), "git config --show-origin --get-all "+key)
			}
			for _, u := range settings.Usernames(url) {
				if u.Name != p.Username && !strings.Contains(u.Name, "@") {
					remedy := "git config --global --unset " + u.Key
					if strings.Contains(u.Key, "@") { // its address may hold a password
						remedy = "git config --global --edit"
					}
					d.warn(check, fmt.Sprintf("for %s it asks for the user %q, who is not the profile's (%s)", h, u.Name, p.Username), remedy)
				}
			}
		}
	}
	for _, address := range settings.Ours() {
		u, err := url.Parse(address)
		if err != nil {
			continue
		}
		if near, missed := cfg.Near(u.Scheme, u.Host); missed {
			remedy := "write https:// there, and in the remote: git config --global --edit"
			if near.Port {
				remedy = "name that host with its port in hosts of the profile, or remove the lines: git config --global --edit"
			}
			d.warn(check, fmt.Sprintf("it asks us for %s://%s, which gets no token: %v", u.Scheme, u.Host, near), remedy)
		}
	}
	switch {
	case len(told) == 0:
		d.warn(check, "it does not ask us for any host", "clerk-credential-helper setup git")
	case len(untold) > 0:
		d.ok(check, "asks us for %s; not for %s", strings.Join(told, ", "), strings.Join(untold, ", "))
	default:
		d.ok(check, "asks us for %s", strings.Join(told, ", "))
	}
	d.storedByGit(cfg)
}

// storedByGit looks for secrets that git-credential-store has stored for our hosts.
func (d *doctor) storedByGit(cfg *config.Config) {
	file, text, err := toolconfig.GitStored(d.env.Tools)
	if err != nil {
		return
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		u, err := url.Parse(line)
		if err == nil && u.Host != "" && len(cfg.Match(u.Scheme, u.Host)) > 0 {
			d.warn("git", fmt.Sprintf("%s holds a password or a token for %s in the clear", file, u.Host), "remove that line; and: clerk-credential-helper setup git")
		}
	}
}
