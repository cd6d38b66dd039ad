import type { Like } from "../index";
import type english from "../en/contribute";

export default {
  heading: "Ajoutez vos photos et vos films",
  openLead: "Toutes les personnes qui ont le lien voient ce que vous ajoutez.",
  dropLead: "Seuls vous et le propriétaire de la galerie voyez ce que vous ajoutez.",
  name: "Votre nom",
  nameHint: "Facultatif. Il est montré avec ce que vous ajoutez.",
  begin: "Ajouter des photos et des films",
  beginning: "Un instant …",
  addingAs: "Vous ajoutez sous le nom de {name}.",
  addingUnnamed: "Vous ajoutez sans nom.",
  keptHere: "Ce navigateur se souvient de vous, pour que vous puissiez supprimer ce que vous avez ajouté.",
  notKept: "Ce navigateur ne garde rien : vous pouvez supprimer ce que vous ajoutez tant que cette page est ouverte.",
  yours: { one: "{n} élément à vous", other: "{n} éléments à vous" },
  remove: "Supprimer {name}",
  removing: "Supprimer cet élément pour tout le monde ?",
  confirm: "Supprimer",
  cancel: "Garder",
  removed: "Supprimé.",
  closed: "Cette galerie ne prend plus de contributions. Vous pouvez encore supprimer ce que vous avez ajouté.",
  keyGone: "Vous avez été retiré des contributeurs de cette galerie. Ce que vous avez ajouté peut encore y être.",
  tooMany: "Cette galerie a autant de contributeurs qu’elle peut en avoir.",
} satisfies Like<typeof english>;
