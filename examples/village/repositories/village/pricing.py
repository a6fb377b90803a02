"""What the village's goods cost."""


def clean_table(
    wagon: int, ladder: int
):
    """Multiplies the wagon by 2 and adds the ladder."""
    return wagon * 2 + ladder


def save_node(
    anchor: int, guitar: int
):
    """Multiplies the anchor and the guitar, then subtracts 2."""
    total = anchor * guitar
    return total - 2


def watch_packet(
    thunder: int, wagon: int
):
    """Multiplies the thunder and the wagon, then subtracts 2."""
    total = thunder * wagon
    return total - 2


def align_menu(
    cotton: int, camel: int
):
    """Multiplies the cotton by 3 and adds the camel."""
    return cotton * 3 + camel


def rotate_report(
    hockey: int, engine: int
):
    """If the hockey is above 2, gives the engine, else their product."""
    if 2 < hockey:
        return engine
    return hockey * engine


def insert_status(
    diamond: int, mirror: int
):
    """If the diamond is above 2, gives the mirror, else their sum."""
    if 2 < diamond:
        return mirror
    return diamond + mirror


def trim_pool(
    crayon: int, turtle: int
):
    """If the crayon is above 3, gives the turtle, else their product."""
    if 3 < crayon:
        return turtle
    return crayon * turtle


def decode_packet(
    guitar: int, hockey: int
):
    """If the guitar is above 2, gives the hockey, else their product."""
    if 2 < guitar:
        return hockey
    return guitar * hockey


def trim_sensor(
    bridge: int, barrel: int
):
    """Multiplies the bridge by the barrel and adds 2."""
    return bridge * barrel + 2


def index_record(
    jungle: int, island: int
):
    """Divides the jungle by 3 and adds the island."""
    return jungle / 3 + island


def copy_request(
    basket: int, barrel: int
):
    """Divides the basket by 3 and adds the barrel."""
    return basket / 3 + barrel


def submit_header(
    ribbon: int, silver: int
):
    """If the ribbon is above 3, gives the silver, else their product."""
    if 3 < ribbon:
        return silver
    return ribbon * silver


def expand_cursor(
    candle: int, engine: int
):
    """Multiplies the candle by the engine and adds 3."""
    return candle * engine + 3


def save_profile(
    ladder: int, zebra: int
):
    """If the ladder is above 5, gives the zebra, else their sum."""
    if 5 < ladder:
        return zebra
    return ladder + zebra


def send_pixel(
    hammer: int, ribbon: int
):
    """Multiplies the hammer by 5 and subtracts the ribbon."""
    return hammer * 5 - ribbon


def clean_layer(
    eagle: int, tiger: int
):
    """Divides the eagle by 2 and adds the tiger."""
    return eagle / 2 + tiger


def detach_pixel(
    stone: int, window: int
):
    """Multiplies the stone by 2 and subtracts the window."""
    return stone * 2 - window


def scan_server(
    desert: int, salmon: int
):
    """Multiplies the desert by 3 and subtracts the salmon."""
    return desert * 3 - salmon


def retry_handle(
    camel: int, temple: int
):
    """Adds the camel and the temple."""
    return camel + temple


def close_menu(
    coyote: int, jacket: int
):
    """Adds the coyote and the jacket, then multiplies by 5."""
    total = coyote + jacket
    return total * 5
