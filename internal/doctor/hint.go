package doctor

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
)

// Hint returns the remedy for an error: one line, usually with a command; empty if there is none. Root, who could take any
// file, is never told to.
func Hint(err error) string {
	return cmp.Or(remedyHere(err, platform.Flatpak(), os.Getenv("SSH_CONNECTION") != ""), hintTo(os.Getuid() == 0, err))
}

// remedyHere is the remedy for a keychain that cannot be used in a Flatpak, or over SSH; empty for other errors and places.
func remedyHere(err error, flatpak string, ssh bool) string {
	switch {
	case flatpak != "" && errors.Is(err, platform.ErrUnavailable) && errors.Is(err, fs.ErrPermission):
		return talk(flatpak)
	case errors.Is(err, platform.ErrConfirm):
		return unconfirmed
	case ssh && (errors.Is(err, platform.ErrLocked) || errors.Is(err, platform.ErrNoKeyring)):
		return "over SSH the keychain has no window to ask in: unlock it at the desktop, or keep a session in memory: CLERK_HELPER_STORE=kernel clerk-credential-helper login"
	}
	return ""
}

// unconfirmed is the remedy for a keychain that has the person confirm each access.
const unconfirmed = "in KeePassXC: Tools → Settings → Secret Service Integration, switch off \"Confirm when passwords are retrieved by clients\""

// talk is the command that lets a Flatpak use the keychain.
func talk(flatpak string) string {
	return "flatpak override --user --talk-name=org.freedesktop.secrets " + flatpak + ", and start it again"
}

// withoutSudo is the remedy if what root would use or change is another user's.
func withoutSudo() string {
	return platform.WithoutSudo + "; what all users of this machine need goes into " + platform.MachineConfig()
}

const policyRemedy = "those who administer this machine have decided it: ask them"

func hintTo(root bool, err error) string {
	var needs *broker.NeedsSignInError
	var failed *broker.SignInError
	var injected *broker.InjectedError
	var renewal *broker.RefreshError
	var homeless *config.NoHomeError
	var rejected *broker.RejectedError
	var challenge *broker.ChallengeError
	var forbidden *config.PolicyError
	var mint *broker.MintError
	var item *broker.ItemError
	var place *platform.PlaceError
	var path *fs.PathError
	var unseen *platform.UnseenError
	var invalid x509.CertificateInvalidError
	var other x509.HostnameError
	var proxy *clerk.ProxyError
	var unanswered *url.Error
	switch {
	case errors.As(err, &rejected):
		return rejectionRemedy(rejected.Cause)
	case errors.As(err, &challenge):
		return challengeRemedy(challenge)
	case errors.As(err, &forbidden):
		return policyRemedy
	case root && errors.Is(err, platform.ErrForeign):
		return withoutSudo()
	case errors.As(err, &place):
		return "set HOME to the home folder of the user who runs it"
	case errors.Is(err, platform.ErrAccess):
		return platform.KeepAccess
	case errors.Is(err, platform.ErrChanged):
		return "run it again"
	case errors.Is(err, broker.ErrWouldReplaceSession):
		return "if you mean it: clerk-credential-helper logout first"
	case platform.FaultOf(err) != 0:
		return faultRemedy(platform.FaultOf(err))
	case errors.As(err, &unseen), errors.As(err, &needs) && errors.As(needs.Over, &unseen) && unseen.Elsewhere:
		return reach(unseen)
	case errors.As(err, &renewal) && errors.Is(err, clerk.ErrNoIDToken):
		return SignInAgain(renewal.Profile) + idTokenHint
	case errors.As(err, &needs) && errors.Is(needs.Over, clerk.ErrNoIDToken):
		return SignInAgain(needs.Profile) + idTokenHint
	case errors.As(err, &renewal) && refusalRemedy(err) != "":
		return refusalRemedy(err) + "; then: clerk-credential-helper login " + renewal.Profile
	case errors.As(err, &failed) && refusalRemedy(err) != "":
		return refusalRemedy(err) + "; then: clerk-credential-helper login " + failed.Profile
	case errors.As(err, &injected):
		return "set " + injected.Source + " to a live token of the profile's issuer, or unset it"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "if this machine's clock is wrong, set it; if it is right, tell the issuer's administrator"
	case errors.As(err, &other):
		return "a network's sign-in page (a captive portal) or a proxy answers in the issuer's place: open any page in a browser first"
	case errors.As(err, &proxy):
		return proxyRemedy(proxy)
	case errors.As(err, &mint) && mintRemedy(mint) != "":
		return mintRemedy(mint)
	case errors.Is(err, broker.ErrNoMachineKey):
		return "set CLERK_MACHINE_SECRET_KEY, or CLERK_MACHINE_SECRET_KEY_NAME for the profile called name, to the secret key of the machine (ak_...), from Clerk's dashboard"
	case errors.As(err, &path) && path.Op == "mkdir" && errors.Is(err, fs.ErrPermission):
		return platform.WritableFolder
	case errors.Is(err, platform.ErrNoUser):
		return "CLERK_HELPER_STORE=file keeps the session and its locks below HOME; on Linux a login session makes /run/user/UID, and loginctl enable-linger keeps it"
	case errors.Is(err, platform.ErrNoBrowser) && errors.As(err, &failed):
		return "run in a terminal: clerk-credential-helper login " + failed.Profile
	case errors.Is(err, platform.ErrNoBrowser):
		return "run in a terminal: clerk-credential-helper login"
	case errors.As(err, &needs):
		return SignInAgain(needs.Profile)
	case errors.Is(err, platform.ErrNoKeyring):
		return "at a desktop let its password manager make a default keyring; on a server CLERK_HELPER_STORE=kernel keeps the session in memory, file in a file that only you can read"
	case errors.Is(err, platform.ErrConfirm):
		return unconfirmed
	case errors.Is(err, platform.ErrLocked):
		return "unlock the keychain, or sign in to the desktop, and try again"
	case errors.Is(err, platform.ErrUnavailable) && errors.Is(err, fs.ErrPermission):
		return "if this is a sandbox, let it reach the session's keychain, or bring a token in CLERK_HELPER_TOKEN; elsewhere CLERK_HELPER_STORE=file keeps the session in a file that only you can read"
	case errors.Is(err, platform.ErrUnavailable):
		return "CLERK_HELPER_STORE=file keeps the session in a file that only you can read"
	case untrusted(err):
		return "if your company's proxy answers in the issuer's place, name its root certificate: ca_file = \"...\" in the profile"
	case errors.Is(err, clerk.ErrClock):
		return "set this machine's clock; clerk-credential-helper doctor compares it with the issuer's"
	case errors.Is(err, broker.ErrStillWaiting):
		return "try again in a moment; clerk-credential-helper doctor tries the issuer"
	case errors.Is(err, clerk.ErrMisnamed):
		return "correct the profile; clerk-credential-helper doctor says more"
	case errors.Is(err, clerk.ErrTaken):
		return "try again; clerk-credential-helper login --no-browser starts no browser with a link that others could read"
	case errors.Is(err, clerk.ErrRedirect):
		return "if the browser showed an error, register http://127.0.0.1/callback as redirect URI of the OAuth application, or correct client_id"
	case errors.Is(err, broker.ErrUnreachable), errors.As(err, &unanswered) && unanswered.Op != "parse":
		return "is the issuer's address right, and a proxy set where one is needed (HTTPS_PROXY)? clerk-credential-helper doctor tries it"
	case errors.As(err, &failed):
		return SignInAgain(failed.Profile)
	case errors.As(err, &item) && errors.Is(err, broker.ErrUnreadable):
		return "a later release of this program has written it: use that one, or replace it with clerk-credential-helper login " + item.Profile
	case errors.As(err, &item):
		return SignInAgain(item.Profile)
	case errors.As(err, &homeless):
		return "set HOME, or name a file in CLERK_HELPER_CONFIG"
	case errors.Is(err, platform.ErrNoHome):
		return platform.HomeVariables
	case errors.Is(err, config.ErrNone):
		return "run: clerk-credential-helper setup"
	}
	return ""
}

// rejectionRemedy returns what helps where a server rejects a fresh token.
func rejectionRemedy(cause broker.Cause) string {
	switch cause {
	case broker.ByOldGit:
		return "ask the server's administrator whether this account may use it; if it accepts Bearer only, that takes git 2.46"
	case broker.ByPreference:
		return "the server offers NTLM or Digest, which git before 2.46 prefers to Basic: use git 2.46 or later, or have the server offer Basic without them"
	case broker.ByHeader:
		return "git has sent the Authorization of http.extraHeader instead: git config --show-origin --get-regexp extraheader"
	}
	return "ask the server's administrator whether this account may use it; where it redirects, the other server may have refused"
}

// challengeRemedy returns what helps where git can send no token.
func challengeRemedy(e *broker.ChallengeError) string {
	switch {
	case e.Fixed:
		return "remove git_auth from the profile"
	case slices.Contains(e.Schemes, "bearer"):
		return "git 2.46 can send Bearer; otherwise, the server must offer Basic"
	}
	return "the server must offer Basic or Bearer"
}

// faultRemedy returns what ends a fault of a disk or of a process. It advises nothing that would lose a session.
func faultRemedy(fault platform.Fault) string {
	const other = platform.OtherFolder
	switch fault {
	case platform.FaultFull:
		return "make room on that disk, and try again"
	case platform.FaultQuota:
		return "this user's quota is used up: make room, and try again; or keep sessions elsewhere, with " + other + " or CLERK_HELPER_STORE"
	case platform.FaultReadOnly:
		return "the file system is mounted read-only: mount it for writing, or name a folder elsewhere with " + other
	case platform.FaultIO:
		return "the disk, or the server of a network's file system, fails: " + platform.SystemLog + ", and mount it again; or name a folder elsewhere with " + other
	case platform.FaultNoLocks:
		return "the file system has no locks, as NFS without them: mount it with locks, or keep sessions elsewhere, with CLERK_HELPER_STORE=kernel or with " + other + " on a local disk"
	case platform.FaultOpenFiles:
		return "too many files are open: " + platform.OpenFiles + "end what holds them open, and try again"
	}
	return "clerk-credential-helper doctor tries the store"
}

// mintRemedy returns what helps where Clerk gives no token for a machine's key; empty if it is not known.
func mintRemedy(err *broker.MintError) string {
	answer := broker.Refusal(err.Err) // also of another process
	var network *url.Error
	const off = "; ci = \"off\" in the profile does without"
	switch {
	case errors.Is(err, clerk.ErrNoExchange):
		return "add a policy to lib/cli-auth/ci.ts of the app" + off
	case err.Job != "" && err.Refused():
		return "let a policy in lib/cli-auth/ci.ts of the app allow this job, whose token says: " + err.Claims.String() + off
	case err.Job != "" && (answer != nil && (answer.Status == 429 || answer.Status >= 500) || errors.Is(err, broker.ErrUnreachable) || errors.As(err, &network)):
		return "try again later"
	case err.Job != "":
		return "let the job have a token of its own, with the app's origin as its audience: docs/ci.md" + off
	case err.Refused():
		return "set " + err.Variable + " to the secret key of a machine (ak_...): Configure → Machines in Clerk's dashboard"
	case answer != nil && (answer.Status == 429 || answer.Status >= 500):
		return "try again later"
	case answer != nil, errors.Is(err, broker.ErrUnreachable), errors.As(err, &network):
		return "tokens for machines come from https://api.clerk.com, or from CLERK_API_URL where that is set; behind a proxy set HTTPS_PROXY"
	}
	return ""
}

// reach is the remedy for a keychain that may have a session, and cannot be looked at.
func reach(unseen *platform.UnseenError) string {
	const only = "CLERK_HELPER_STORE=kernel, if no other keychain is in use"
	switch {
	case unseen.Err != nil:
		return hintTo(false, unseen.Err)
	case unseen.Caller != "":
		return "run it without sudo, in a session of the user whose keychain it is"
	case unseen.Flatpak != "":
		return talk(unseen.Flatpak)
	case unseen.Bus != "":
		return "DBUS_SESSION_BUS_ADDRESS=unix:path=" + unseen.Bus + " names the other bus; or " + only
	case unseen.Elsewhere:
		return "run it outside the sandbox, or in a shell of the session, or correct DBUS_SESSION_BUS_ADDRESS; or " + only
	}
	return "if the session is a desktop's, run it there; or " + only
}

// proxyRemedy returns what helps where a proxy gives no connection.
func proxyRemedy(err *clerk.ProxyError) string {
	switch {
	case err.Status == http.StatusProxyAuthRequired:
		return "write them into HTTPS_PROXY, as http://USER:PASSWORD@proxy.acme.dev:3128, or name the issuer's host in NO_PROXY if it needs no proxy"
	case errors.Is(err, clerk.ErrProxyAddress):
		return "write it as http://proxy.acme.dev:3128, or unset it"
	}
	return "correct HTTPS_PROXY, or name the issuer's host in NO_PROXY if it needs no proxy; clerk-credential-helper doctor tries it"
}

// idTokenHint goes with the advice for a session whose ID token has expired.
const idTokenHint = `; the issuer sends an ID token at a sign-in only, token = "access" does without`

// refusalRemedy returns what must be changed before an issuer that refuses accepts a session again; empty if it is not known.
func refusalRemedy(err error) string {
	refusal := broker.Refusal(err)
	if refusal == nil {
		return ""
	}
	switch refusal.Code {
	case "invalid_scope":
		return "correct scopes in the profile, or allow the missing one to the OAuth application in Clerk's dashboard"
	case "invalid_client":
		return "correct client_id in the profile: the OAuth application must exist, and be public"
	case "unauthorized_client":
		return "correct client_id in the profile, or allow the OAuth application this grant in Clerk's dashboard"
	case "unsupported_grant_type":
		return "have the issuer's administrator allow refresh tokens (the scope offline_access)"
	case "invalid_request", "invalid_target", "other":
		return "clerk-credential-helper doctor compares the profile with the issuer"
	case "host_invalid":
		return "correct issuer in the profile: it is the Frontend API URL of your Clerk application"
	case "server_error", "temporarily_unavailable":
		return "try again later"
	}
	return ""
}

// Asked says how a person is asked to sign in, first of all.
func Asked(how broker.Permission) string {
	if len(how.Flows) > 0 && how.Flows[0] == clerk.Browser {
		return "the browser opens"
	}
	return "an address is shown on the terminal"
}

// AskedAgain says when tools ask to sign in after a sign-in that came to nothing.
func AskedAgain(until time.Time) string {
	return "at a terminal tools ask again at once, others after " + until.Local().Format(time.TimeOnly)
}

// SignInAgain returns the remedy for a session that only a new sign-in replaces.
func SignInAgain(profile string) string { return "run: clerk-credential-helper login " + profile }

// untrusted reports whether a certificate was refused for another reason than its host name or its validity: usually, its
// root is unknown. On macOS and Windows the cause is only a message of the system, so it cannot be checked for directly.
func untrusted(err error) bool {
	var verification *tls.CertificateVerificationError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &verification) && !errors.As(err, &name) && !errors.As(err, &invalid)
}
