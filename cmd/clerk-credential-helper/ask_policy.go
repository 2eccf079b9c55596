package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/doctor"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// mayAsk reports whether a person may be asked on behalf of a tool. The error is the reason why not.
// CLERK_HELPER_INTERACTIVE, which is for us alone, takes precedence over what git was told, and that over the profile.
func (sys *system) mayAsk(p *config.Profile, tool string) error {
	ours := sys.getenv("CLERK_HELPER_INTERACTIVE")
	if ours == "" {
		if err := toldNotToAsk(sys.getenv); err != nil {
			return err
		}
		if tool == protocol.GitTool {
			if value := doctor.AskGit(context.Background(), sys.toolEnv(), "credential.interactive"); never(value) {
				return fmt.Errorf("git's credential.interactive is %q", value)
			}
		}
	}
	switch mode := cmp.Or(ours, p.Interactive); mode {
	case "always":
		return nil
	case "never":
		return errors.New(`interactive is "never"`)
	case "auto":
	default:
		return fmt.Errorf("CLERK_HELPER_INTERACTIVE is %q, not auto, always or never", mode)
	}
	place := sys.where()
	unprompted := !sys.mayPrompt()
	switch {
	case place.CI != "":
		return errors.New(place.CI)
	case unprompted && (place.Foreground == "" || place.Browser == ""):
		// The go command sets it on its own, and then no person waits for a page.
		return errors.New("GIT_TERMINAL_PROMPT is 0")
	case place.Foreground == "" && place.Terminal != "" && place.Browser == "":
		return errors.New("this runs in the background of its terminal, and there is no browser")
	case place.Foreground == "" && place.Graphical == "" && place.WSL == "" && place.Editor == "":
		return errors.New("there is neither a terminal nor a graphical session")
	case place.Foreground == "" && place.Browser == "":
		return errors.New("there is neither a terminal nor a browser")
	}
	return nil
}

// where looks at the place again: a job may have gone to the background meanwhile.
func (sys *system) where() platform.Surroundings {
	return platform.Where(sys.getenv, platform.SystemProbes())
}

// mayPrompt reports whether the terminal may be read: git and those who set GIT_TERMINAL_PROMPT (git(1)) may forbid it, but
// not to a command that a person has typed.
func (sys *system) mayPrompt() bool {
	if sys.options.login {
		return true
	}
	on, err := protocol.GitBool(sys.getenv("GIT_TERMINAL_PROMPT"))
	return sys.getenv("GIT_TERMINAL_PROMPT") == "" || err != nil || on
}

// foreground reports whether a person at a terminal waits for us.
func foreground() bool {
	t, err := platform.OpenTerminal()
	if err != nil {
		return false
	}
	defer t.Close()
	return t.Foreground()
}

// withoutPrompt ends git where it gets no token and would ask for a password, which helps with nothing.
func (sys *system) withoutPrompt(t tool, reply protocol.Reply) protocol.Reply {
	if t.id == protocol.GitTool && reply.Result == protocol.None && reply.Err != nil && sys.gitPrompts() {
		reply.Result = protocol.Refused
	}
	return reply
}

// gitPrompts reports whether git would ask at the terminal for what it does not get. A job in the background of its terminal
// would be stopped by that, with its whole group.
func (sys *system) gitPrompts() bool {
	if !sys.mayPrompt() {
		return false
	}
	t, err := platform.OpenTerminal()
	if err != nil {
		return false
	}
	t.Close()
	return true
}

// toldNotToAsk reads what git was told about helpers, credential.interactive, where git leaves it for its children:
// "git -c" in GIT_CONFIG_PARAMETERS, and the variables of GIT_CONFIG_COUNT. VS Code marks the fetches that it makes by
// itself; GCM_INTERACTIVE is honoured as a courtesy to those who come from there.
func toldNotToAsk(getenv func(string) string) error {
	value, found := protocol.GitSetting(getenv, "credential.interactive")
	if never(value) && found {
		return fmt.Errorf("git's credential.interactive is %q", value)
	}
	if silent, err := protocol.GitBool(getenv("VSCODE_GIT_FETCH_SILENT")); err == nil && silent {
		return errors.New("VS Code fetches in the background")
	}
	if value := getenv("GCM_INTERACTIVE"); never(value) {
		return fmt.Errorf("GCM_INTERACTIVE is %q", value)
	}
	return nil
}

func never(value string) bool {
	on, err := protocol.GitBool(value)
	return strings.EqualFold(value, "never") || value != "" && err == nil && !on
}
