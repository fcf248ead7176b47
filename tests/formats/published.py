"""Files as offices publish them, each with what a person reads in it: titles, units, merged names,
notes, totals, padding, odd marks and encodings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    name: str
    text: str
    columns: list[str]
    first: list[str]
    last: list[str]
    """Cells of the first and of the last row."""
    rows: int = 12
    encoding: str = "utf-8"


def _lines(line: Callable[[int], str], count: int = 12, first: int = 1) -> str:
    return "".join(line(number) + "\n" for number in range(first, first + count))


_REGIONS = _lines(lambda n: f"Region {n},{n * 100},{n * 101}")
_FIRST, _LAST = ["Region 1", "100", "101"], ["Region 12", "1200", "1212"]
_NAMES = ["Region", "Men", "Women"]
_FOUR = _lines(lambda n: f"R{n},{n},{n + 1},{n + 2},{n + 3}")
_FOUR_FIRST, _FOUR_LAST = ["R1", "1", "2", "3", "4"], ["R12", "12", "13", "14", "15"]
_YEARS = _lines(lambda n: f"C{n},{n}.1,{n}.2,{n}.3")
_MONTHS = _lines(lambda n: f"2020,{n},{n * 3}")

PUBLISHED = [
    Published("plain", "Region,Men,Women\n" + _REGIONS, _NAMES, _FIRST, _LAST),
    Published("a title", "Population 2020\n\nRegion,Men,Women\n" + _REGIONS, _NAMES, _FIRST, _LAST),
    Published(
        "a padded title",
        "Population by region 2020,,\n,,\nRegion,Men,Women\n" + _REGIONS,
        _NAMES,
        _FIRST,
        _LAST,
    ),
    Published(
        "titles with commas",
        "Made by the office, part 1\nMade by the office, part 2\nRegion,Men,Women\n" + _REGIONS,
        _NAMES,
        _FIRST,
        _LAST,
    ),
    Published(
        "titles in Windows-1252",
        "Bevölkerung nach Gemeinden;;;\nStand: 31.12.2019;;;\n;;;\nGemeinde;Männer;Frauen;Anteil\n"
        + _lines(lambda n: f"Süd {n};{n * 10};{n * 11};0,{n}"),
        ["Gemeinde", "Männer", "Frauen", "Anteil"],
        ["Süd 1", "10", "11", "0,1"],
        ["Süd 12", "120", "132", "0,12"],
        encoding="cp1252",
    ),
    Published(
        "units below the names",
        "Date,Temperature,Rain\n,°C,mm\n" + _lines(lambda n: f"2020-01-{n:02},{n}.5,{n * 2}"),
        ["Date", "Temperature °C", "Rain mm"],
        ["2020-01-01", "1.5", "2"],
        ["2020-01-12", "12.5", "24"],
    ),
    Published(
        "units and decimal commas",
        "Date;Temperature;Rain\n;(deg C);(mm)\n"
        + _lines(lambda n: f"2020-01-{n:02};{n},5;{n * 2}"),
        ["Date", "Temperature (deg C)", "Rain (mm)"],
        ["2020-01-01", "1,5", "2"],
        ["2020-01-12", "12,5", "24"],
    ),
    Published(
        "merged years above the names",
        ",2019,,2020,\nRegion,Men,Women,Men,Women\n" + _FOUR,
        ["Region", "2019 Men", "2019 Women", "2020 Men", "2020 Women"],
        _FOUR_FIRST,
        _FOUR_LAST,
    ),
    Published(
        "merged words above the names",
        ",Population,,Income,\nRegion,Men,Women,Men,Women\n" + _FOUR,
        ["Region", "Population Men", "Population Women", "Income Men", "Income Women"],
        _FOUR_FIRST,
        _FOUR_LAST,
    ),
    Published(
        "notes below",
        "Region,Men,Women\n" + _REGIONS + "\nSource: Office of Statistics\nNote: provisional.\n",
        _NAMES,
        _FIRST,
        _LAST,
    ),
    Published(
        "padded notes below",
        "Region,Men,Women\n" + _REGIONS + ",,\nSource: Office of Statistics,,\n1) provisional,,\n",
        _NAMES,
        _FIRST,
        _LAST,
    ),
    Published(
        "a total",
        "Region,Men,Women\n" + _REGIONS + "Total,7800,7878\n\n\nSource: X\n",
        _NAMES,
        _FIRST,
        ["Total", "7800", "7878"],
        rows=13,
    ),
    Published(
        "empty columns",
        "Region,Men,Women,,,\n" + _REGIONS.replace("\n", ",,,\n"),
        [*_NAMES, "column_4", "column_5", "column_6"],
        [*_FIRST, "", "", ""],
        [*_LAST, "", "", ""],
    ),
    Published(
        "a delimiter behind each row",
        "Region,Men,Women\n" + _REGIONS.replace("\n", ",\n"),
        _NAMES,
        _FIRST,
        _LAST,
    ),
    Published(
        "years as names",
        "GDP per capita\n\nCountry,2018,2019,2020\n" + _YEARS,
        ["Country", "2018", "2019", "2020"],
        ["C1", "1.1", "1.2", "1.3"],
        ["C12", "12.1", "12.2", "12.3"],
    ),
    Published(
        "metadata in pairs with blank lines between",
        '"Data Source","Indicators",\n\n"Updated Date","2021-05-25",\n\n"Country","Code","2018","2019",\n'
        + _lines(lambda n: f'"Country {n}","C{n:02}","{n}.1","{n}.2",'),
        ["Country", "Code", "2018", "2019", "column_5"],
        ["Country 1", "C01", "1.1", "1.2", ""],
        ["Country 12", "C12", "12.1", "12.2", ""],
    ),
    Published(
        "metadata with colons",
        "Title: Accidents\nPublisher: Ministry\nLicence: CC0\n\nyear,month,accidents\n" + _MONTHS,
        ["year", "month", "accidents"],
        ["2020", "1", "3"],
        ["2020", "12", "36"],
    ),
    Published(
        "metadata in two cells",
        "Title,Road accidents\nPublisher,Ministry\n\nyear,month,accidents\n" + _MONTHS,
        ["year", "month", "accidents"],
        ["2020", "1", "3"],
        ["2020", "12", "36"],
    ),
    Published(
        "comments",
        "# Station 1234\n# lat 50.1 lon 8.6\nyear,month,accidents\n" + _MONTHS,
        ["year", "month", "accidents"],
        ["2020", "1", "3"],
        ["2020", "12", "36"],
    ),
    Published(
        "a title in a file with tabs",
        "Monthly report\t\t\nRegion\tMen\tWomen\n" + _REGIONS.replace(",", "\t"),
        _NAMES,
        _FIRST,
        _LAST,
    ),
    Published(
        "currencies",
        "Region,Spend (£)\n" + _lines(lambda n: f'Region {n},"£{n},000.00"'),
        ["Region", "Spend (£)"],
        ["Region 1", "£1,000.00"],
        ["Region 12", "£12,000.00"],
        encoding="cp1252",
    ),
    Published(
        "Latin letters and semicolons",
        "Código;Município;População\n" + _lines(lambda n: f"{n};São João {n};{n * 1000}"),
        ["Código", "Município", "População"],
        ["1", "São João 1", "1000"],
        ["12", "São João 12", "12000"],
        encoding="latin-1",
    ),
    Published(
        "UTF-16 with tabs",
        "Region\tMen\tWomen\n" + _REGIONS.replace(",", "\t"),
        _NAMES,
        _FIRST,
        _LAST,
        encoding="utf-16",
    ),
    Published(
        "sections between the rows",
        "Region,Men,Women\nNorth,,\n" + _REGIONS + "South,,\n",
        _NAMES,
        ["North", "", ""],
        ["South", "", ""],
        rows=14,
    ),
    Published(
        "quotes behind spaces",
        "id, name, note\n" + _lines(lambda n: f'{n}, "Name, {n}", "n{n}"'),
        ["id", "name", "note"],
        ["1", "Name, 1", "n1"],
        ["12", "Name, 12", "n12"],
    ),
    Published(
        "GUIDs in braces",
        _lines(lambda n: f"{{6F9619FF-8B86-D011-B42D-00C04FC9{n:04}}},{n},b"),
        ["column_1", "column_2", "column_3"],
        ["{6F9619FF-8B86-D011-B42D-00C04FC90001}", "1", "b"],
        ["{6F9619FF-8B86-D011-B42D-00C04FC90012}", "12", "b"],
    ),
    Published(
        "one column",
        "email\n" + _lines(lambda n: f"user{n}@example.org"),
        ["email"],
        ["user1@example.org"],
        ["user12@example.org"],
    ),
    Published(
        "one column of sentences",
        "remark\n" + _lines(lambda n: f"The road, which is {n} km long, is closed"),
        ["remark"],
        ["The road, which is 1 km long, is closed"],
        ["The road, which is 12 km long, is closed"],
    ),
    Published(
        "marks for missing values",
        "Station,Jan,Feb,Mar\n" + _lines(lambda n: f"S{n},{'-' if n % 3 else n},..,{n}.0"),
        ["Station", "Jan", "Feb", "Mar"],
        ["S1", "-", "..", "1.0"],
        ["S12", "12", "..", "12.0"],
    ),
    Published(
        "a long title and ranges as names",
        "Table 3: Unemployment rate by age group and sex, 2010-2020 (percent)\nAdjusted\n\n"
        "Year,15-24,25-54,55+\n" + _lines(lambda n: f"{2009 + n},{n}.1,{n}.2,{n}.3"),
        ["Year", "15-24", "25-54", "55+"],
        ["2010", "1.1", "1.2", "1.3"],
        ["2021", "12.1", "12.2", "12.3"],
    ),
    Published(
        "line ends in names",
        '"Area\nname","Total\nvalue"\n' + _lines(lambda n: f'"A{n}",{n}'),
        ["Area\nname", "Total\nvalue"],
        ["A1", "1"],
        ["A12", "12"],
    ),
    Published(
        "a column without a name",
        ",Men,Women\n" + _REGIONS,
        ["column_1", "Men", "Women"],
        _FIRST,
        _LAST,
    ),
    Published(
        "text below a title",
        "List of schools\n\nName,Street,Head\n" + _lines(lambda n: f"School {n},High Street,Smith"),
        ["Name", "Street", "Head"],
        ["School 1", "High Street", "Smith"],
        ["School 12", "High Street", "Smith"],
    ),
    Published(
        "bars and numbered notes",
        "Code|Name|Value\n" + _lines(lambda n: f"{n:03}|Area {n}|{n * 9}") + "\nNotes\n1. Draft\n",
        ["Code", "Name", "Value"],
        ["001", "Area 1", "9"],
        ["012", "Area 12", "108"],
    ),
]
