// Which CI jobs get a token without a stored secret. This file is yours to edit: "companion add" never replaces it. It
// has no entry at first, and then the app grants nothing to a job.
//
// A job sends the OIDC token that its CI has made for it. The first condition is that CI's own signature; then every
// claim that an entry names must have the value that is written here. What the job gets is a token of one of your Clerk
// machines, which lives for `seconds`. The machine's secret key stays in the app's environment: `machine` is the NAME of
// the variable that holds it.
//
// A value is compared exactly, letter by letter. { pattern: "refs/tags/v*" } has to match the whole value; * stands for
// one or more visible ASCII characters other than / and :. The token's aud must be CLI_AUTH_ORIGIN.
//
// An entry has to name the repository or the subject. Let it also name a branch, a tag or an environment that only your
// own people can push to: others open pull requests. The app refuses to start with an entry that cannot be right, and
// its log warns of one that takes too much. Exactly one entry must fit a job.

import type { Policy } from "./policy";

export const policy: Policy = [
  // GitHub Actions; the job needs "permissions: id-token: write". The numbers are those of
  // https://api.github.com/repos/acme/shop: unlike a name, nobody gets them after you.
  // {
  //   name: "github-production",
  //   issuer: "https://token.actions.githubusercontent.com",
  //   claims: {
  //     repository: "acme/shop",
  //     repository_id: "123456789",
  //     repository_owner_id: "1234567",
  //     ref: "refs/heads/main",
  //     environment: "production",
  //   },
  //   machine: "CI_DEPLOY_MACHINE_KEY",
  //   seconds: 900,
  // },
  //
  // GitLab; the job names the app's origin as the aud of its id_tokens. All of a job's steps have the same token, so it
  // may be exchanged more than once.
  // {
  //   name: "gitlab-main",
  //   issuer: "https://gitlab.com",
  //   claims: {
  //     project_path: "acme/shop",
  //     project_id: "12345678",
  //     ref_type: "branch",
  //     ref: "main",
  //     ref_protected: "true",
  //   },
  //   machine: "CI_DEPLOY_MACHINE_KEY",
  //   seconds: 900,
  //   once: false,
  // },
  //
  // CircleCI; the job asks with: circleci run oidc get --claims '{"aud":"https://app.acme.dev"}'. The organisation's id
  // is a part of the issuer. vcs-origin is the fork where a fork was built.
  // {
  //   name: "circleci-main",
  //   issuer: "https://oidc.circleci.com/org/1f2e3d4c-0000-4000-8000-000000000001",
  //   claims: {
  //     "oidc.circleci.com/project-id": "1f2e3d4c-0000-4000-8000-000000000002",
  //     "oidc.circleci.com/vcs-origin": "github.com/acme/shop",
  //     "oidc.circleci.com/vcs-ref": "refs/heads/main",
  //     "oidc.circleci.com/ssh-rerun": false,
  //   },
  //   machine: "CI_DEPLOY_MACHINE_KEY",
  //   seconds: 900,
  //   once: false,
  // },
  //
  // Bitbucket Pipelines; the step says "oidc: audiences: [https://app.acme.dev]" and names a deployment, which you
  // restrict to a branch. The ids are in the repository's settings, with their braces.
  // {
  //   name: "bitbucket-production",
  //   issuer: "https://api.bitbucket.org/2.0/workspaces/acme/pipelines-config/identity/oidc",
  //   claims: {
  //     repositoryUuid: "{1f2e3d4c-0000-4000-8000-000000000003}",
  //     deploymentEnvironmentUuid: "{1f2e3d4c-0000-4000-8000-000000000004}",
  //   },
  //   machine: "CI_DEPLOY_MACHINE_KEY",
  //   seconds: 900,
  //   once: false,
  // },
  //
  // Azure Pipelines. It puts one audience into the token of every job, whatever the job is for, so another service that
  // takes such tokens could send one on.
  // {
  //   name: "azure-main",
  //   issuer: "https://vstoken.dev.azure.com/1f2e3d4c-0000-4000-8000-000000000005",
  //   audience: "api://AzureADTokenExchange",
  //   claims: {
  //     prj_id: "1f2e3d4c-0000-4000-8000-000000000006",
  //     rpo_id: "1f2e3d4c-0000-4000-8000-000000000007",
  //     rpo_ref: "refs/heads/main",
  //   },
  //   machine: "CI_DEPLOY_MACHINE_KEY",
  //   seconds: 900,
  // },
  //
  // Buildkite; the job asks with: buildkite-agent oidc request-token --audience https://app.acme.dev. If the pipeline
  // builds forks, let it prefix their branches: a fork has a main, too.
  // {
  //   name: "buildkite-main",
  //   issuer: "https://agent.buildkite.com",
  //   claims: {
  //     organization_slug: "acme",
  //     pipeline_slug: "shop",
  //     build_branch: "main",
  //   },
  //   machine: "CI_DEPLOY_MACHINE_KEY",
  //   seconds: 900,
  // },
  //
  // Kubernetes: a projected service account token with the audience https://app.acme.dev, in a cluster whose issuer
  // answers on the internet (EKS, GKE, AKS). The file is the same for an hour.
  // {
  //   name: "kubernetes-runner",
  //   issuer: "https://oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF",
  //   claims: { sub: "system:serviceaccount:ci:runner" },
  //   machine: "CI_DEPLOY_MACHINE_KEY",
  //   seconds: 900,
  //   once: false,
  // },
  //
  // SPIFFE: a JWT-SVID, with SPIRE's OIDC discovery provider as the issuer. Its keys say "use": "sig" or nothing.
  // {
  //   name: "spiffe-runner",
  //   issuer: "https://oidc.spire.acme.dev",
  //   claims: { sub: { pattern: "spiffe://acme.dev/ns/ci/sa/*" } },
  //   machine: "CI_DEPLOY_MACHINE_KEY",
  //   seconds: 900,
  //   once: false,
  // },
];
