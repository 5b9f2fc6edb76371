# Sourced. Distributions whose packages the bootstrap does not install: what to type there. Nobody has run thaw on one of them yet.
os_release=${OS_RELEASE:-/etc/os-release}
family=$(sed -n 's/^\(ID\|ID_LIKE\)="\{0,1\}\([^"]*\)"\{0,1\}$/\2/p' "$os_release" 2>/dev/null | tr '\n' ' ')

like_debian() { [[ " $family " == *" debian "* ]]; }

tools_are_there() {
  local tool
  for tool in qemu-system-x86_64 qemu-img mmdebstrap mke2fs apt-get dpkg-deb xz zstd gcc; do
    command -v "$tool" >/dev/null || return 1
  done
}

by_hand() {
  echo "thaw's bootstrap installs packages on Debian and its relatives only. Here, where thaw is unproven, do it by hand and start again:"
  case " $family " in
    *" fedora "*) echo "  sudo dnf install qemu-system-x86-core qemu-img mmdebstrap e2fsprogs apt dpkg xz zstd util-linux shadow-utils gcc glibc-static" ;;
    *" arch "*)
      echo "  sudo pacman -S qemu-system-x86 qemu-img e2fsprogs apt dpkg debian-archive-keyring xz zstd util-linux gcc"
      echo "  mmdebstrap from the AUR"
      ;;
    *) echo "  by the names they have here: $*" ;;
  esac
  echo "  Rust $needed_rust or newer (https://rustup.rs)"
}
