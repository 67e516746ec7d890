"""The captions world's words: nouns, verbs, adjectives and function words of German and English, with their forms.

Every English form belongs to one kind of word only, so that a text can be read back without guessing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Noun:
    """A pair of nouns. `oblique` is the accusative and dative singular of weak masculine nouns (der Junge, den Jungen);
    `kind` says what can be done with the thing."""

    german: str
    german_plural: str
    gender: str  # m, f or n
    english: str
    english_plural: str
    kind: str
    oblique: str | None = None


@dataclass(frozen=True)
class Adjective:
    """`stem` takes German endings unless `fixed` (rosa stays rosa)."""

    stem: str
    english: str
    fixed: bool = False


@dataclass(frozen=True)
class Verb:
    """German third person singular and plural; English base, -s and -ing form.

    `objects` are the kinds of noun it takes as its object; none for intransitive verbs. `places` says which
    prepositional phrases it can have: "where" or "whither". `particle` is a separable prefix (ruft ... an).
    """

    singular: str
    plural: str
    base: str
    third: str
    gerund: str
    objects: tuple[str, ...] = ()
    places: str = "where"
    particle: str = ""
    recipient: bool = False


@dataclass(frozen=True)
class Preposition:
    """A German preposition with its case in this use, and the English one."""

    german: str
    case: str  # acc or dat
    english: str


@dataclass(frozen=True)
class Determiner:
    """A determiner of one number: German stem and declension (see `caption_grammar`), English word ("" for none)."""

    german: str
    declension: str
    plural: bool
    english: str


def _nouns(kind: str, *rows: str) -> tuple[Noun, ...]:
    """Rows of: German singular, plural, gender, English singular, plural, and the oblique form of weak nouns."""
    found = []
    for row in rows:
        german, plural, gender, english, english_plural, *oblique = row.split()
        found.append(Noun(german, plural, gender, english, english_plural, kind, oblique[0] if oblique else None))
    return tuple(found)


# Every list is ordered from frequent to rare.
PEOPLE = _nouns(
    "person",
    "Mann Männer m man men",
    "Frau Frauen f woman women",
    "Junge Jungen m boy boys Jungen",
    "Mädchen Mädchen n girl girls",
    "Arbeiter Arbeiter m worker workers",
    "Künstlerin Künstlerinnen f artist artists",
    "Student Studenten m student students Studenten",
    "Lehrerin Lehrerinnen f teacher teachers",
    "Schauspieler Schauspieler m actor actors",
    "Tänzerin Tänzerinnen f dancer dancers",
    "Polizist Polizisten m officer officers Polizisten",
    "Nachbar Nachbarn m neighbor neighbors Nachbarn",
    "Ingenieur Ingenieure m engineer engineers",
    "Ärztin Ärztinnen f doctor doctors",
)
ANIMALS = _nouns(
    "animal",
    "Hund Hunde m dog dogs",
    "Katze Katzen f cat cats",
    "Pferd Pferde n horse horses",
    "Elefant Elefanten m elephant elephants Elefanten",
    "Kuh Kühe f cow cows",
    "Affe Affen m monkey monkeys Affen",
    "Esel Esel m donkey donkeys",
)
READABLE = _nouns(
    "readable",
    "Buch Bücher n book books",
    "Zeitung Zeitungen f newspaper newspapers",
    "Brief Briefe m letter letters",
    "Landkarte Landkarten f map maps",
)
FOOD = _nouns("food", "Apfel Äpfel m apple apples", "Kuchen Kuchen m cake cakes", "Ei Eier n egg eggs")
INSTRUMENTS = _nouns(
    "instrument",
    "Gitarre Gitarren f guitar guitars",
    "Trommel Trommeln f drum drums",
    "Orgel Orgeln f organ organs",
)
THINGS = _nouns(
    "thing",
    "Ball Bälle m ball balls",
    "Korb Körbe m basket baskets",
    "Kiste Kisten f box boxes",
    "Regenschirm Regenschirme m umbrella umbrellas",
    "Koffer Koffer m suitcase suitcases",
    "Flasche Flaschen f bottle bottles",
    "Fahrrad Fahrräder n bicycle bicycles",
    "Messer Messer n knife knives",
    "Blume Blumen f flower flowers",
    "Seil Seile n rope ropes",
)
CLOTHES = _nouns(
    "clothes",
    "Weste Westen f vest vests",
    "Pullover Pullover m sweater sweaters",
    "Hut Hüte m hat hats",
    "Kleid Kleider n dress dresses",
    "Uniform Uniformen f uniform uniforms",
    "Schal Schals m scarf scarves",
    "Schürze Schürzen f apron aprons",
)

WHERE = {
    "in": Preposition("in", "dat", "in"),
    "auf": Preposition("auf", "dat", "on"),
    "an": Preposition("an", "dat", "at"),
    "vor": Preposition("vor", "dat", "in front of"),
    "neben": Preposition("neben", "dat", "next to"),
    "hinter": Preposition("hinter", "dat", "behind"),
    "unter": Preposition("unter", "dat", "under"),
}
WHITHER = {
    "in": Preposition("in", "acc", "into"),
    "auf": Preposition("auf", "acc", "onto"),
    "durch": Preposition("durch", "acc", "through"),
    "über": Preposition("über", "acc", "across"),
}
"""The same German word with another case is another English preposition: in dem Park, in den Park."""

WITH = Preposition("mit", "dat", "with")
WEARING = Preposition("in", "dat", "in")
TO = "to"
"""Marks the English recipient; German has a dative."""

# Place: prepositions of rest, prepositions of motion.
PLACES: tuple[tuple[Noun, tuple[str, ...], tuple[str, ...]], ...] = tuple(
    (_nouns("place", row)[0], tuple(where.split()), tuple(whither.split()))
    for row, where, whither in (
        ("Park Parks m park parks", "in vor", "in durch"),
        ("Straße Straßen f street streets", "auf neben", "auf über"),
        ("Haus Häuser n house houses", "vor in hinter neben", "in durch"),
        ("Bank Bänke f bench benches", "auf neben unter", "auf über"),
        ("Garten Gärten m garden gardens", "in hinter", "in durch"),
        ("Strand Strände m beach beaches", "an auf", "über"),
        ("Küche Küchen f kitchen kitchens", "in vor", "in durch"),
        ("Baum Bäume m tree trees", "unter neben hinter vor", ""),
        ("Feld Felder n field fields", "auf neben", "auf über durch"),
        ("Tisch Tische m table tables", "an neben unter", "auf über"),
        ("See Seen m lake lakes", "an in", "in durch"),
        ("Brücke Brücken f bridge bridges", "auf unter neben", "auf über"),
        ("Wald Wälder m forest forests", "in vor hinter", "in durch"),
        ("Büro Büros n office offices", "in vor", "in durch"),
        ("Mauer Mauern f wall walls", "auf hinter vor", "auf über"),
        ("Insel Inseln f island islands", "auf vor", "auf über"),
        ("Kirche Kirchen f church churches", "in vor neben", "in durch"),
    )
)

COLORS = (
    Adjective("rot", "red"),
    Adjective("blau", "blue"),
    Adjective("weiß", "white"),
    Adjective("schwarz", "black"),
    Adjective("grün", "green"),
    Adjective("rosa", "pink", fixed=True),
    Adjective("gelb", "yellow"),
)
QUALITIES = {
    "person": (
        Adjective("jung", "young"),
        Adjective("alt", "old"),
        Adjective("müde", "tired"),
        Adjective("glücklich", "happy"),
        Adjective("wütend", "angry"),
        Adjective("elegant", "elegant"),
    ),
    "animal": (
        Adjective("klein", "small"),
        Adjective("groß", "big"),
        Adjective("alt", "old"),
        Adjective("nass", "wet"),
    ),
    "thing": (
        Adjective("klein", "small"),
        Adjective("groß", "big"),
        Adjective("neu", "new"),
        Adjective("teur", "expensive"),
        Adjective("schmutzig", "dirty"),
        Adjective("hässlich", "ugly"),
    ),
    "place": (
        Adjective("groß", "big"),
        Adjective("klein", "small"),
        Adjective("leer", "empty"),
        Adjective("ruhig", "quiet"),
        Adjective("alt", "old"),
    ),
}
"""Adjectives by kind of noun; kinds not listed here are things."""

RESTING = (
    Verb("steht", "stehen", "stand", "stands", "standing"),
    Verb("sitzt", "sitzen", "sit", "sits", "sitting"),
    Verb("liegt", "liegen", "lie", "lies", "lying"),
    Verb("schläft", "schlafen", "sleep", "sleeps", "sleeping"),
    Verb("wartet", "warten", "wait", "waits", "waiting"),
)
MOVING = (
    Verb("läuft", "laufen", "run", "runs", "running", places="whither"),
    Verb("geht", "gehen", "walk", "walks", "walking", places="whither"),
    Verb("springt", "springen", "jump", "jumps", "jumping", places="whither"),
    Verb("klettert", "klettern", "climb", "climbs", "climbing", places="whither"),
)
ACTING = (
    Verb("tanzt", "tanzen", "dance", "dances", "dancing"),
    Verb("lacht", "lachen", "laugh", "laughs", "laughing"),
    Verb("singt", "singen", "sing", "sings", "singing"),
    Verb("arbeitet", "arbeiten", "work", "works", "working"),
)
_PORTABLE = ("thing", "readable", "instrument")
TRANSITIVE = (
    Verb("hält", "halten", "hold", "holds", "holding", objects=_PORTABLE),
    Verb("liest", "lesen", "read", "reads", "reading", objects=("readable",)),
    Verb("trägt", "tragen", "carry", "carries", "carrying", objects=_PORTABLE),
    Verb("beobachtet", "beobachten", "watch", "watches", "watching", objects=("person", "animal")),
    Verb("spielt", "spielen", "play", "plays", "playing", objects=("instrument",)),
    Verb("isst", "essen", "eat", "eats", "eating", objects=("food",)),
    Verb("wäscht", "waschen", "wash", "washes", "washing", objects=("animal", "clothes", "thing")),
    Verb("malt", "malen", "paint", "paints", "painting", objects=("person", "animal", "thing")),
    Verb("ruft", "rufen", "call", "calls", "calling", objects=("person",), particle="an"),
    Verb("hebt", "heben", "lift", "lifts", "lifting", objects=("thing", "animal"), particle="hoch"),
    Verb("jagt", "jagen", "chase", "chases", "chasing", objects=("animal", "person")),
    Verb("kauft", "kaufen", "buy", "buys", "buying", objects=("thing", "readable", "food", "clothes")),
)
GIVING = (
    Verb("gibt", "geben", "give", "gives", "giving", objects=("thing", "readable", "food"), recipient=True),
    Verb("zeigt", "zeigen", "show", "shows", "showing", objects=("thing", "readable", "clothes"), recipient=True),
)
ANIMAL_VERBS = (*RESTING, *MOVING)

HABITS = (("oft", "often"), ("immer", "always"), ("manchmal", "sometimes"), ("selten", "rarely"))
MANNERS = (("schnell", "quickly"), ("langsam", "slowly"), ("leise", "quietly"), ("laut", "loudly"))

A = Determiner("ein", "ein", False, "a")
THE = Determiner("d", "der", False, "the")
THE_PLURAL = Determiner("d", "der", True, "the")
BARE = Determiner("", "none", True, "")
COUNTS = (
    Determiner("zwei", "none", True, "two"),
    Determiner("drei", "none", True, "three"),
    Determiner("mehrer", "viele", True, "several"),
    Determiner("viel", "viele", True, "many"),
    Determiner("vier", "none", True, "four"),
)
POSSESSIVES = {
    "m": Determiner("sein", "ein", False, "his"),
    "f": Determiner("ihr", "ein", False, "her"),
    "plural": Determiner("ihr", "ein", False, "their"),
}
DETERMINERS = (A, THE, THE_PLURAL, *COUNTS, *POSSESSIVES.values())

NOUNS = (
    *PEOPLE,
    *ANIMALS,
    *READABLE,
    *FOOD,
    *INSTRUMENTS,
    *THINGS,
    *CLOTHES,
    *(noun for noun, _, _ in PLACES),
)
VERBS = (*RESTING, *MOVING, *ACTING, *TRANSITIVE, *GIVING)
ADJECTIVES = tuple(dict.fromkeys((*COLORS, *(word for words in QUALITIES.values() for word in words))))
PREPOSITIONS = tuple(dict.fromkeys([*(p.english for p in (*WHERE.values(), *WHITHER.values(), WITH, WEARING)), TO]))
