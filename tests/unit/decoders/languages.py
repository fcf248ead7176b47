"""Sentences in many languages, written for the tests of encodings, and the encodings they are sent in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    text: str
    encodings: tuple[str, ...]


LATIN, CENTRAL = ("cp1252", "mac_roman", "cp850"), ("cp1250", "iso8859_2", "cp852")
CYRILLIC = ("cp1251", "koi8_r", "iso8859_5", "cp866")

LANGUAGES = {
    "czech": Language(
        "Včera večer přišla do města velká bouřka a během několika minut zaplavila celé náměstí. Lidé utíkali do"
        " nejbližších domů, někteří se schovali pod střechu tržnice. Když déšť přestal, vyšlo slunce a děti začaly"
        " běhat po kalužích. Starší žena u kašny říkala, že něco takového už dlouho neviděla.",
        CENTRAL,
    ),
    "slovak": Language(
        "Minulý týždeň sme navštívili starý hrad nad riekou, kde kedysi žil mocný kráľ so svojou dcérou. Cesta hore"
        " bola strmá a kľukatá, no výhľad do údolia stál za námahu. Pri bráne nás čakal sprievodca, ktorý rozprával"
        " o dávnych časoch, o vojnách a o tom, ako ľudia piekli chlieb z ovsenej múky. Päť detí ho počúvalo.",
        CENTRAL,
    ),
    "polish": Language(
        "Dziś rano wyszedłem z domu wcześniej niż zwykle, żeby zdążyć na pociąg do Łodzi. Na dworcu było już dużo"
        " ludzi, a każdy się spieszył. Kupiłem gorącą herbatę i usiadłem przy oknie. Później zaczął padać śnieg, który"
        " przykrył pola i małe wioski. Cóż, podróż trwała dłużej, ale była piękna.",
        CENTRAL,
    ),
    "hungarian": Language(
        "Tegnap délután a nagymamám elővette a régi fényképeket, és mesélt arról, hogyan éltek a faluban a háború"
        " előtt. Minden reggel kútról hozták a vizet, és este gyertya mellett énekeltek. Az öregek szőlőt műveltek,"
        " a gyerekek pedig mezítláb jártak iskolába. Őszinte, egyszerű életük volt, mégis úgy tűnt, boldogok.",
        CENTRAL,
    ),
    "romanian": Language(
        "În fiecare dimineaţă bunicul meu îşi bea cafeaua pe terasă şi priveşte grădina. Florile roşii cresc lângă"
        " gard, iar pisica doarme în umbră. După micul dejun merge până la piaţă să cumpere pâine şi brânză. Vecinii"
        " îl salută şi îl întreabă ce mai fac nepoţii, care învaţă la Bucureşti.",
        ("cp1250", "iso8859_2"),
    ),
    "croatian": Language(
        "Prošle godine smo ljeto proveli na otoku gdje nema mnogo kuća ni prometa. Djed je svaki dan išao u ribolov,"
        " a baka je pekla kruh i spremala juhu. Navečer bismo sjedili pod smokvom i slušali cvrčke. Moja sestra je"
        " čitala knjigu o gusarima, dok sam ja tražio školjke. Sljedeće ćemo ljeto doći opet, možda već u lipnju.",
        CENTRAL,
    ),
    "slovene": Language(
        "V soboto smo šli na izlet v hribe, čeprav je napoved obljubljala dež. Pot se je vila skozi temen gozd in čez"
        " deroč potok, kjer smo si privoščili kratek počitek. Na vrhu nas je čakala koča s toplim čajem in žganci."
        " Pogled na dolino je bil čudovit, zato smo ostali še nekaj časa in šele pozno začeli sestopati.",
        CENTRAL,
    ),
    "lithuanian": Language(
        "Praėjusį šeštadienį važiavome į kaimą pas senelius, kurie gyvena prie didelio ežero. Močiutė iškepė obuolių"
        " pyragą, o senelis parodė, kaip gaudyti žuvis. Vakare kūrėme laužą ir dainavome senas dainas. Kitą rytą"
        " lijo, todėl žaidėme šachmatais ir klausėmės pasakojimų apie jų jaunystę.",
        ("cp1257",),
    ),
    "latvian": Language(
        "Vakar mēs devāmies uz jūru, jo beidzot bija silts un saulains laiks. Bērni būvēja pilis no smiltīm, bet vecāki"
        " sēdēja ēnā un lasīja grāmatas. Pēc pusdienām sākās stiprs vējš, un ļaudis steidzās mājās. Ceļā mēs nopirkām"
        " žāvētas zivis un rupjmaizi no kādas vecmāmiņas, kura stāstīja par savu ģimeni.",
        ("cp1257",),
    ),
    "estonian": Language(
        "Möödunud nädalal käisime metsas seeni korjamas, kuigi ilm oli üsna külm ja märg. Vanaema õpetas meile, millised"
        " seened on söödavad ja milliseid tuleb jätta puutumata. Õhtul tegime sauna soojaks ning jõime teed mustika-"
        "moosiga. Öösel kuulsime öökulli häält ja nägime taevas tähti, mida linnas kunagi näha ei ole.",
        ("cp1252", "cp1257"),
    ),
    "turkish": Language(
        "Geçen yaz ailemle birlikte küçük bir sahil kasabasına gittik. Sabahları erkenden kalkıp denize giriyor, öğleden"
        " sonra da çarşıda dolaşıyorduk. Yaşlı bir balıkçı bize eski günleri anlattı ve taze ekmekle peynir ikram etti."
        " Akşam olunca herkes ışıkların altında çay içiyor, şarkı söylüyordu. İstanbul'a dönmek hiç istemedik.",
        ("cp1254",),
    ),
    "greek": Language(
        "Χθες το απόγευμα περπατήσαμε μέχρι το λιμάνι για να δούμε τα καράβια που έρχονταν από τα νησιά. Ένας γέρος"
        " ψαράς καθόταν στην άκρη και επισκεύαζε τα δίχτυα του. Μας είπε ότι η θάλασσα ήταν ήσυχη όλη την εβδομάδα."
        " Ύστερα ήπιαμε καφέ κάτω από τα πλατάνια. Άρχισε να βραδιάζει.",
        ("cp1253", "iso8859_7"),
    ),
    "russian": Language(
        "Прошлой осенью мы ездили в деревню к бабушке, которая живёт на берегу широкой реки. Утром стоял густой туман,"
        " и было слышно только, как где-то лает собака. Дедушка починил старую лодку, и мы поплыли на другой берег за"
        " грибами. Вечером топили печь, пили чай с вареньем и слушали рассказы о войне.",
        CYRILLIC,
    ),
    "ukrainian": Language(
        "Минулого літа ми приїхали до маленького села, де живе моя тітка. Її хата стоїть біля річки, а за нею починається"
        " великий ліс. Щодня ми збирали ягоди й ходили купатися. Увечері дядько грав на скрипці, і всі сусіди приходили"
        " послухати. Ніколи ще я не бачив такої кількості зірок на небі.",
        ("cp1251", "koi8_u"),
    ),
    "bulgarian": Language(
        "Миналата седмица посетихме едно старо село в планината, където къщите са от камък и дърво. Хората ни посрещнаха"
        " с топъл хляб и мед. Една възрастна жена ни разказа как някога тук е имало училище и голям пазар. След обяда се"
        " разходихме до водопада, а вечерта гледахме залеза от хълма.",
        ("cp1251", "iso8859_5"),
    ),
    "serbian": Language(
        "Прошле суботе смо ишли на пијацу да купимо воће и поврће за зимницу. Бака је бирала најлепше паприке, а деда је"
        " носио тешке торбе. Код куће смо цео дан пекли и љуштили, па је мирис остао у ходнику. Њихов комшија, који живи"
        " преко пута, донео је теглу меда и причао о својим пчелама. Ђаци су већ кренули у школу.",
        ("cp1251", "iso8859_5"),
    ),
    "german": Language(
        "Am frühen Morgen lief der Bäcker über die Straße, um den Nachbarn frische Brötchen zu bringen. Es hatte die ganze"
        " Nacht geregnet, und überall standen große Pfützen. Später kamen die Schüler mit ihren Fahrrädern vorbei und"
        " grüßten fröhlich. Nur der alte Müller ärgerte sich, weil seine Schuhe naß wurden.",
        LATIN,
    ),
    "french": Language(
        "L'été dernier, nous avons loué une petite maison près de la forêt, où il n'y avait ni télévision ni téléphone."
        " Le matin, mon père préparait le café pendant que ma sœur cueillait des mûres. Après le déjeuner, on allait se"
        " baigner à la rivière. Le soir, la fraîcheur tombait très vite et chacun cherchait sa place près du feu.",
        LATIN,
    ),
    "spanish": Language(
        "El año pasado mi tía compró una casa pequeña en las montañas, lejos del ruido de la ciudad. ¿Quién iba a pensar"
        " que allí encontraríamos tantos pájaros? Cada mañana subíamos por el camino hasta una ermita, y después"
        " bebíamos agua fría del río. Según los vecinos, en invierno la nieve cubre todo y también cierra la carretera.",
        LATIN,
    ),
    "portuguese": Language(
        "No verão passado, os meus avós convidaram-nos para a vindima. Começávamos a trabalhar antes do nascer do sol e só"
        " parávamos ao meio-dia, quando a avó trazia pão, queijo e maçãs. À tarde, as crianças brincavam na eira e os"
        " adultos contavam histórias. Não havia televisão, mas ninguém sentia falta dela; a música vinha do coração.",
        LATIN,
    ),
    "italian": Language(
        "Domenica scorsa siamo andati in città perché mio fratello voleva vedere la nuova libreria. Era già tardi quando"
        " siamo arrivati, così abbiamo bevuto un caffè in piazza. Più tardi è cominciato a piovere e la gente è scappata"
        " sotto i portici. Papà disse che la felicità è fatta di cose semplici: però lui non aveva l'ombrello.",
        LATIN,
    ),
    "danish": Language(
        "I går gik vi en lang tur langs stranden, selv om det blæste og var køligt. Børnene samlede skaller og små sten,"
        " mens bedstefar fortalte om dengang, han sejlede på de store have. På vejen hjem købte vi rødspætter og rugbrød"
        " hos fiskeren. Om aftenen spiste vi æblekage og så på stjernerne.",
        LATIN,
    ),
    "swedish": Language(
        "Förra sommaren hyrde vi en stuga vid sjön där man bara hörde fåglarna och vinden i träden. På kvällarna eldade vi"
        " i spisen och spelade kort. Min lillebror lärde sig simma, och själv rodde jag över till ön för att plocka blåbär."
        " När hösten kom blev det kallt, och vi åkte hem till Göteborg igen.",
        LATIN,
    ),
    "finnish": Language(
        "Viime kesänä lähdimme mökille heti juhannuksen jälkeen. Järvi oli vielä kylmä, mutta isä kävi silti uimassa joka"
        " päivä. Äiti poimi mustikoita ja leipoi piirakkaa. Iltaisin istuimme laiturilla ja kuuntelimme, kuinka kuikka"
        " huusi jossakin kaukana. Yöllä ei tullut pimeää lainkaan, ja siksi nukkuminen oli vähän vaikeaa.",
        LATIN,
    ),
    "icelandic": Language(
        "Síðasta sumar fórum við í ferðalag um landið og sváfum í tjaldi á hverri nóttu. Veðrið var ágætt, þó að það rigndi"
        " öðru hverju. Við sáum fossa, jökla og hesta sem hlupu frjálsir um dalinn. Gamall bóndi bauð okkur inn, gaf okkur"
        " mjólk og sagði sögur af álfum. Þegar heim kom var ég bæði þreyttur og glaður.",
        ("cp1252", "mac_iceland"),
    ),
    "dutch": Language(
        "Vorige week reed ik met de fiets naar mijn zus in België, omdat zij een baby had gekregen. Het regende en de wind"
        " kwam van zee. Onderweg dronk ik koffie in een café waar twee mannen over voetbal ruzieden; één van hen riep naïef"
        " dat het ook anders kon. Mijn zus was moe maar blij, en de geërgerde kat sliep onder de tafel.",
        LATIN,
    ),
    "catalan": Language(
        "L'estiu passat vam pujar a la muntanya amb el meu oncle, que coneix tots els camins. Després de dues hores vam"
        " trobar una font d'aigua fresquíssima i vam seure a l'ombra. Què més es pot demanar? Ell ens explicà històries de"
        " bandolers i nosaltres menjàvem pa amb tomàquet. En Joan, però, només pensava en la pilota; és així.",
        LATIN,
    ),
    "hebrew": Language(
        "אתמול בערב הלכנו לטייל לאורך החוף עם הילדים והכלב. הים היה שקט והשמש שקעה לאט מאחורי העננים. סבא סיפר לנו על"
        " הימים שבהם עבד כדייג וקם כל בוקר לפני הזריחה. אחר כך אכלנו לחם עם גבינה ושתינו תה חם.",
        ("cp1255",),
    ),
    "arabic": Language(
        "ذهبنا أمس إلى السوق القديم لنشتري الخبز والزيتون وبعض الفواكه. كان الجو حارا لكن الأزقة الضيقة كانت مظللة. جلس"
        " رجل عجوز أمام دكانه يشرب الشاي ويحكي للأطفال قصصا عن البحر. وعندما عدنا إلى البيت كانت الشمس قد غربت.",
        ("cp1256",),
    ),
    "thai": Language(
        "เมื่อวานนี้เราไปเดินเล่นที่ตลาดน้ำกับคุณยาย มีคนขายผลไม้และดอกไม้มากมาย เด็กๆ ชอบดูเรือที่แล่นไปมา ตอนเย็นฝนตกหนัก"
        " เราจึงรีบกลับบ้านและทานข้าวด้วยกัน",
        ("cp874",),
    ),
}  # fmt: skip


def rows_of(text: str, words: int, first: int) -> str:
    """A CSV file of a few columns with so many words of the text, from a word on."""
    every = text.split()
    chosen = [every[(first + n) % len(every)].replace(",", "") for n in range(words)]
    lines = [f"{n},{' '.join(chosen[n * 4 : n * 4 + 4])}" for n in range(-(-words // 4))]
    return "id,text\n" + "\n".join(lines) + "\n"
