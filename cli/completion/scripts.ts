/** The scripts only ask `thaw __complete` with the words so far, the last one being completed. */
export const completionScripts = {
  bash: `_thaw() {
  local IFS=$'\\n' line="\${COMP_LINE:0:COMP_POINT}" cur="\${COMP_WORDS[COMP_CWORD]}" words
  IFS=$' \\t\\n' read -ra words <<<"$line"
  [[ "$line" == *[[:space:]] ]] && words+=("")
  local last="\${words[-1]}"
  COMPREPLY=($(thaw __complete -- "\${words[@]:1}" 2>/dev/null))
  local prefix="\${last%"$cur"}" i
  for i in "\${!COMPREPLY[@]}"; do COMPREPLY[i]="\${COMPREPLY[i]#"$prefix"}"; done
  [[ "\${#COMPREPLY[@]}" == 1 && "\${COMPREPLY[0]}" == *[:/] ]] && compopt -o nospace
}
complete -o default -F _thaw thaw
`,
  zsh: `#compdef thaw
_thaw() {
  local -a replies
  replies=("\${(@f)$(thaw __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "\${replies[1]}" ]]; then compadd -S "" -- \${(M)replies:#*[:/]}; compadd -- \${replies:#*[:/]}; else _files; fi
}
if [[ "$funcstack[1]" == _thaw ]]; then _thaw "$@"; else compdef _thaw thaw; fi
`,
  fish: `function __thaw_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l found (thaw __complete -- $words[2..-1] 2>/dev/null)
  if set -q found[1]
    printf '%s\\n' $found
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c thaw -f -a '(__thaw_complete)'
`,
} as const;
