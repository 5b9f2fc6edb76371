/** Forms. Whoever may only look can't use them. */
import { type ReactNode, useId } from "react";
import { useMayOnlyLook } from "./command.tsx";

export function Form({
  id,
  className,
  submit,
  children,
}: {
  id?: string;
  className: string;
  submit: () => Promise<void>;
  children: ReactNode;
}) {
  const mayOnlyLook = useMayOnlyLook();
  return (
    <form
      {...(id === undefined ? {} : { id })}
      onSubmit={(event) => {
        event.preventDefault();
        if (!mayOnlyLook) void submit();
      }}
    >
      <fieldset className={className} disabled={mayOnlyLook}>
        {children}
      </fieldset>
    </form>
  );
}

interface FieldIds {
  id: string;
  "aria-describedby": string;
  "aria-invalid": boolean;
}

/** A field with its name, and beneath it what may be written there, or what is wrong with it. */
export function Field({
  label,
  hint = "",
  mistake,
  children,
}: {
  label: string;
  hint?: string;
  mistake?: string | undefined;
  children: (ids: FieldIds) => ReactNode;
}) {
  const id = useId();
  return (
    <div className="form-field">
      <label htmlFor={id}>{label}</label>
      {children({ id, "aria-describedby": `${id}-hint`, "aria-invalid": mistake !== undefined })}
      <span id={`${id}-hint`} className={mistake === undefined ? "dim" : "bad"}>
        {mistake ?? hint}
      </span>
    </div>
  );
}
