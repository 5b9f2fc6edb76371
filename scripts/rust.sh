# Sourced. Puts a Rust toolchain that can build the crates on PATH: the one that is there, else the user's own of rustup (~/.cargo/bin).
needed_rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' guest/Cargo.toml)

rust_is_fine() {
  local found
  found=$(cargo --version 2>/dev/null | cut -d' ' -f2) || return 1
  [ -n "$found" ] && [ "$(printf '%s\n%s\n' "$needed_rust" "$found" | sort -V | head -n1)" = "$needed_rust" ]
}

own_rust=${CARGO_HOME:-${HOME:-/nonexistent}/.cargo}/bin
rust_is_fine || [ ! -x "$own_rust/cargo" ] || export PATH="$own_rust:$PATH"
