#!/usr/bin/env bash
# make-root.sh FOLDER [12|13]: fills FOLDER with a fresh Debian, 13 unless another is named, that has what the README asks for (Node with npm), and this checkout at /thaw, a
# repository of one commit: its files as git sees them, nothing that was built. The Debian is made by mmdebstrap once and kept as a tar in the user's cache, under a digest of this
# script. Needs root.
set -euo pipefail
target=${1:?usage: make-root.sh FOLDER [12|13]}
release=${2:-13}
here=$(realpath "$(dirname "$0")")
checkout=$(realpath "$here/../..")
packages=ca-certificates,nodejs
# Debian's own npm brings 400 packages along. npm 11 does not run on Debian 12's Node 18.
case $release in
  12) suite=bookworm npm=npm@10.9.4 ;;
  *) suite=trixie npm=npm@11.19.1 ;;
esac
cache=${XDG_CACHE_HOME:-$HOME/.cache}/thaw-test-hosts
kept=$cache/debian$release-$(sha256sum "$here/make-root.sh" | cut -c1-16).tar

if [ ! -e "$kept" ]; then
  mkdir -p "$cache"
  draft=$(mktemp -d "$cache/draft-XXXXXX")
  trap 'rm -rf "$draft"' EXIT
  echo "making a Debian $release root in $kept" >&2
  (cd "$draft" && npm pack --silent "$npm" >/dev/null && mv npm-*.tgz npm.tgz)
  install_npm='cd "$1/usr/local" && mkdir -p bin lib/node_modules/npm && tar -xzf "$NPM" -C lib/node_modules/npm --strip-components=1 &&
    chmod 755 lib/node_modules/npm/bin/npm-cli.js && ln -s ../lib/node_modules/npm/bin/npm-cli.js bin/npm'
  NPM=$draft/npm.tgz mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' --aptopt='APT::Install-Recommends "false"' \
    --customize-hook="$install_npm" $suite "$draft/root.tar" >&2
  rm -f "$cache/debian$release"-*.tar
  mv "$draft/root.tar" "$kept"
fi
tar -C "$target" -xf "$kept" --numeric-owner
mkdir "$target/thaw"
git -C "$checkout" ls-files -z --cached --others --exclude-standard --deduplicate |
  tar -C "$checkout" --null --files-from=- --ignore-failed-read -cf - | tar -C "$target/thaw" -xf -
git() { command git -C "$target/thaw" -c user.name=thaw -c user.email=thaw@localhost "$@"; }
git init --quiet && git add --all && git commit --quiet --message 'what is tried'
